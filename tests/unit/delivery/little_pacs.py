"""A PACS in a dict, with the faults of real ones; and instances for it that tests can read at a glance."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO

from pydicom import dcmread

from hooks.contract import (
    Accept,
    BatchTooLarge,
    Begun,
    CheckBroke,
    Comparison,
    Facts,
    Instance,
    LookupRefused,
    Outcome,
    OutcomeKind,
    PatientRecord,
    Reject,
    Skip,
    Source,
    Stopped,
    TargetDown,
    TargetMisconfigured,
    Verdict,
)
from hooks.targets.reasons import kind_of

CT = "1.2.840.10008.5.1.4.1.1.2"


@dataclass(frozen=True)
class Toy:
    """An instance: a line of JSON, then its pixels."""

    uid: str
    study: str = "1.2.3"
    series: str = "1.2.3.1"
    patient_id: str = "P1"
    patient_name: str = "DOE^JANE"
    birth_date: str = "19700101"
    accession_number: str = ""
    pixels: bytes = b"pixels"
    verdict: str = "accept"
    warnings: tuple[str, ...] = ()

    @property
    def content(self) -> bytes:
        told = {name: value for name, value in self.__dict__.items() if name != "pixels"}
        return json.dumps(told).encode() + b"\n" + self.pixels

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def toys(count: int, **known) -> list[Toy]:
    """So many instances of one series."""
    return [replace(Toy(f"1.2.3.1.{number}", pixels=b"%d" % number * 50), **known) for number in range(1, count + 1)]


def read_toy(content: bytes) -> Toy:
    """Of an instance that was sent; of a document that the gateway made, the same in a toy's words."""
    if content[128:132] == b"DICM":
        made = dcmread(BytesIO(content))
        return Toy(str(made.SOPInstanceUID), str(made.StudyInstanceUID), str(made.SeriesInstanceUID), made.PatientID)
    line, _, pixels = content.partition(b"\n")
    told = json.loads(line)
    return Toy(**{**told, "pixels": pixels, "warnings": tuple(told["warnings"])})


class ToyCheck:
    """Judges toys by what they say of themselves."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.breaks = 0  #: so many calls break

    def check(self, source: Source) -> Verdict:
        if self.breaks:
            self.breaks -= 1
            raise CheckBroke
        toy = read_toy(source.read_at(0, source.size_bytes))
        self.seen.append(toy.uid)
        if toy.verdict == "reject":
            return Reject("truncated")
        if toy.verdict == "skip":
            return Skip("dicomdir")
        return Accept(
            Facts(
                CT, toy.uid, toy.study, toy.series, "1.2.840.10008.1.2.1", "CT", toy.patient_id, "",
                toy.patient_name, toy.birth_date, toy.accession_number,
            ),
            toy.warnings,
        )  # fmt: skip

    def begin(self, sources: Sequence[Source]) -> Begun | None:
        """Never beside something else."""
        return None

    def close(self) -> None:
        pass


@dataclass
class LittlePacs:
    """Keeps the first bytes it gets under a UID, like Orthanc; answers by name."""

    now: Callable[[], float] = field(default=lambda: 0.0)
    held: dict[str, bytes] = field(default_factory=dict)
    shown_from: dict[str, float] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)  #: every UID that came in, each time
    asked: list[str] = field(default_factory=list)  #: every question

    down: bool = False
    retry_after_s: float | None = None
    refuses_us: bool = False  #: 401
    refuses_queries: bool = False
    unreadable: bool = False  #: takes everything, keeps nothing, and answers a page of HTML with 200
    gives_bytes: bool = True
    full: bool = False  #: answers 200 and stores nothing
    mute: set[str] = field(default_factory=set)  #: stores, but doesn't name them in its answer
    busy: set[str] = field(default_factory=set)
    failures: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    index_delay_s: float = 0.0
    max_bytes: int = 1 << 40
    breaks_after: int | None = None  #: goes down after so many more instances, in the middle of an answer
    breaks_by: BaseException | None = None
    other_ids: dict[str, str] = field(default_factory=dict)  #: PatientID that QIDO shows instead
    people: list[PatientRecord] = field(default_factory=list)
    on_instance: Callable[[str], None] = field(default=lambda uid: None)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def present(self, study_instance_uid: str, series_instance_uids: Iterable[str]) -> dict[str, str]:
        self._answer("present")
        if self.refuses_queries:
            raise LookupRefused("http_403")
        series = set(series_instance_uids)
        shown = {}
        with self.lock:
            for uid, content in self.held.items():
                toy = read_toy(content)
                if toy.study == study_instance_uid and toy.series in series and self.shown_from[uid] <= self.now():
                    shown[uid] = self.other_ids.get(uid, toy.patient_id)
        return shown

    def present_of(self, study_instance_uid: str, instances: Mapping[str, str]) -> dict[str, str]:
        self._answer("present_of")
        if self.refuses_queries:
            raise LookupRefused("http_403")
        with self.lock:
            there = [uid for uid in instances if uid in self.held and self.shown_from[uid] <= self.now()]
            toys = {uid: read_toy(self.held[uid]) for uid in there}
        found = {
            uid: toy for uid, toy in toys.items() if (toy.study, toy.series) == (study_instance_uid, instances[uid])
        }
        return {uid: self.other_ids.get(uid, toy.patient_id) for uid, toy in found.items()}

    def shows(self, sop_instance_uid: str) -> bool:
        self._answer("shows")
        return self.shown_from.get(sop_instance_uid, math.inf) <= self.now()

    def compare(self, instance: Instance) -> Comparison:
        self._answer("compare")
        if not self.gives_bytes:
            return Comparison.UNAVAILABLE
        held = hashlib.sha256(self.held[instance.sop_instance_uid]).hexdigest()
        return Comparison.SAME if held == instance.sha256 else Comparison.DIFFERENT

    def patients(
        self, *, patient_id: str = "", accession_number: str = "", study_instance_uid: str = ""
    ) -> list[PatientRecord]:
        self._answer("patients")
        if self.refuses_queries:
            raise LookupRefused("http_403")
        if patient_id:
            return list(self.people)
        return [
            one
            for one in self.people
            if accession_number == one.accession_number != "" or study_instance_uid == one.study_instance_uid != ""
        ]

    def deliver(self, batch: Sequence[Instance], stop: Callable[[], bool]) -> dict[str, Outcome]:
        self._answer("deliver")
        assert len({instance.study_instance_uid for instance in batch}) == 1
        if self.unreadable:
            self.sent += [instance.sop_instance_uid for instance in batch]
            raise TargetDown("not_dicom_json")
        if sum(instance.size_bytes for instance in batch) > self.max_bytes:
            raise BatchTooLarge("http_413")
        return {instance.instance_id: self._take(instance, stop) for instance in batch}

    def _take(self, instance: Instance, stop: Callable[[], bool]) -> Outcome:
        source = instance.open()
        content = source.read_at(0, source.size_bytes)
        source.close()
        uid = instance.sop_instance_uid
        self.on_instance(uid)
        if stop():
            raise Stopped
        assert len(content) == instance.size_bytes
        assert read_toy(content).uid == uid
        with self.lock:
            self.sent.append(uid)
            if self.breaks_after == 0:
                self.breaks_after, self.down = None, self.breaks_by is None
                raise self.breaks_by or TargetDown("connection_reset")
            if self.breaks_after is not None:
                self.breaks_after -= 1
            if self.full:
                return Outcome(OutcomeKind.UNKNOWN)
            if uid in self.busy:
                self.busy.discard(uid)
                return Outcome(OutcomeKind.BUSY, reason=0xA700)
            if uid in self.failures:
                return Outcome(kind_of(self.failures[uid]), reason=self.failures[uid])
            self.put(content)
        if uid in self.mute:
            return Outcome(OutcomeKind.UNKNOWN)
        return Outcome(OutcomeKind.STORED, warning=self.warnings.get(uid))

    def put(self, content: bytes) -> None:
        """Somebody stores an instance."""
        uid = read_toy(content).uid
        self.held.setdefault(uid, content)
        self.shown_from.setdefault(uid, self.now() + self.index_delay_s)

    def probe(self) -> str:
        return "a dict"

    def close(self) -> None:
        pass

    def _answer(self, question: str) -> None:
        with self.lock:
            self.asked.append(question)
        if self.refuses_us:
            raise TargetMisconfigured("http_401")
        if self.down:
            raise TargetDown("no_answer", self.retry_after_s)
