"""What delivery knows of files, and how that is sealed into their rows.

Facts name the patient: they are under the upload's key and die with it. Outcomes name UIDs, digests and codes only:
they are under the records key and outlive the bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from gateway.keys.columns import Column
from gateway.ledger.rows import Dialect, FileRow, JobRow
from gateway.spool import Fresh, Sealer, ServiceKeys, UploadKey
from gateway.states import WHOLE_STATES, FileResult, FileState
from hooks.contract import Facts

_FACTS = tuple(field.name for field in fields(Facts))
#: Facts that all or many files of an upload share: kept once.
_SHARED = frozenset(_FACTS) - {"sop_instance_uid"}


class Ruling(StrEnum):
    """What the check decided of a file."""

    ACCEPT = "accept"
    SKIP = "skip"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the check said of a file.

    :param code: why it was skipped or rejected.
    :param facts: of an accepted one.
    """

    sha256: str
    verdict: Ruling
    code: str = ""
    warnings: tuple[str, ...] = ()
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of a file, as its record keeps it.

    :param reason: the PACS's (0008,1197) or (0008,1196), four hex digits; empty: none.
    :param code: ours; empty: none.
    :param warnings: codes that the upload's warnings name with this file.
    :param verification: how far the gateway looked (CONTRACT 5); empty: not in the PACS.
    :param made_by: `gateway`: nobody sent it, the gateway made it from notes; empty: the client.
    :param at: unix seconds, when it was known; 0: it isn't written down yet.
    """

    outcome: FileResult
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    sha256: str = ""
    reason: str = ""
    code: str = ""
    warnings: tuple[str, ...] = ()
    verification: str = ""
    made_by: str = ""
    series_instance_uid: str = ""
    at: float = 0.0


_OUTCOME = tuple(field.name for field in fields(FileOutcome))


@dataclass(slots=True)
class Item:
    """One file of an upload on its way: its row's essence, about 1 KB. `saved` is the outcome that its row has."""

    file_id: str
    state: FileState
    size_bytes: int
    whole_at: float
    judgement: Judgement | None
    outcome: FileOutcome | None
    saved: FileOutcome | None
    made_by: str = ""  #: see `FileOutcome`
    tries: int = 0  #: how often it was sent, as far as this attempt knows

    @property
    def facts(self) -> Facts:
        """Of an accepted file."""
        assert self.judgement is not None
        assert self.judgement.facts is not None
        return self.judgement.facts

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes as received."""
        return "" if self.judgement is None else self.judgement.sha256

    @property
    def study_instance_uid(self) -> str:
        """Its study."""
        return self.facts.study_instance_uid

    @property
    def sop_instance_uid(self) -> str:
        """Its UID."""
        return self.facts.sop_instance_uid

    @property
    def pending(self) -> bool:
        """Accepted, and nobody knows yet what became of it."""
        accepted = self.judgement is not None and self.judgement.facts is not None
        return accepted and self.outcome is None and self.state in WHOLE_STATES

    @property
    def sent(self) -> bool:
        """It was absent from the PACS before, and some of it may have left."""
        return self.state is FileState.SENDING

    @property
    def acknowledged(self) -> bool:
        """The PACS named it; it isn't looked for yet."""
        return self.outcome is not None and self.outcome.outcome is FileResult.ACKNOWLEDGED

    def became(
        self, outcome: FileResult, *, code: str = "", reason: int | None = None, warnings: tuple[str, ...] = (),
        verification: str = "",
    ) -> FileOutcome:  # fmt: skip
        """An outcome with this file's UIDs, and the warnings of its check."""
        facts = self.judgement.facts if self.judgement is not None else None
        return FileOutcome(
            outcome,
            sop_class_uid="" if facts is None else facts.sop_class_uid,
            sop_instance_uid="" if facts is None else facts.sop_instance_uid,
            study_instance_uid="" if facts is None else facts.study_instance_uid,
            series_instance_uid="" if facts is None else facts.series_instance_uid,
            sha256=self.sha256,
            reason="" if reason is None else f"{reason:04X}",
            code=code,
            warnings=(() if self.judgement is None else self.judgement.warnings) + warnings,
            verification=verification,
            made_by=self.made_by,
        )


def without_instance(facts: Facts) -> Facts:
    """What a file says of its patient and study, without what is its own: the same for most files of a study."""
    return replace(
        facts, sop_class_uid="", sop_instance_uid="", series_instance_uid="", transfer_syntax_uid="", station_name=""
    )


#: State of a file by its final outcome.
STATES: Mapping[FileResult, FileState] = {
    FileResult.STORED: FileState.STORED,
    FileResult.WARNING: FileState.STORED,
    FileResult.ALREADY_THERE: FileState.ALREADY_THERE,
    FileResult.REJECTED: FileState.REJECTED,
    FileResult.FAILED: FileState.FAILED,
    FileResult.SKIPPED: FileState.SKIPPED,
    FileResult.ACKNOWLEDGED: FileState.SENDING,
}


def item_of(row: FileRow, key: UploadKey, keys: ServiceKeys) -> Item:
    """The item of a row. :raises Damaged: a sealed value can't be opened."""
    judgement = None if row.facts_sealed is None else open_judgement(key, row.file_id, row.facts_sealed)
    outcome = None if row.outcome_sealed is None else open_outcome(keys, row.file_id, row.outcome_sealed)
    made_by = maker_of(row)
    tries = 1 if row.state is FileState.SENDING else 0
    return Item(
        row.file_id, row.state, row.length or 0, row.whole_at or 0.0, judgement, outcome, outcome, made_by, tries
    )


def maker_of(row: FileRow) -> str:
    """See `FileOutcome.made_by`."""
    return "gateway" if row.dialect is Dialect.GATEWAY else ""


def seal_judgement(key: UploadKey, file_id: str, judgement: Judgement, fresh: Fresh | None = None) -> bytes:
    """For `facts_sealed`. :param fresh: of the act."""
    facts = judgement.facts
    value = {
        "sha256": judgement.sha256,
        "verdict": judgement.verdict,
        "code": judgement.code,
        "warnings": judgement.warnings,
        "facts": None if facts is None else {name: getattr(facts, name) for name in _FACTS},
    }
    return key.meta.seal_json(value, context=Column.FILE_FACTS.of(file_id), fresh=fresh)


def open_judgement(key: UploadKey, file_id: str, sealed: bytes) -> Judgement:
    """:raises Damaged: it isn't this file's."""
    value = key.meta.open_json(sealed, context=Column.FILE_FACTS.of(file_id))
    facts = value["facts"]
    return Judgement(
        value["sha256"],
        Ruling(value["verdict"]),
        value["code"],
        tuple(map(sys.intern, value["warnings"])),
        None if facts is None else Facts(**{name: _kept(name, facts.get(name, "")) for name in _FACTS}),
    )


def _kept(name: str, text: str) -> str:
    return sys.intern(text) if name in _SHARED else text


def seal_outcome(keys: ServiceKeys, file_id: str, outcome: FileOutcome, fresh: Fresh | None = None) -> bytes:
    """For `outcome_sealed`; empty fields are left out. :param fresh: of the act."""
    told = {name: value for name in _OUTCOME if (value := getattr(outcome, name))}
    return keys.records.seal_json(told, context=Column.FILE_OUTCOME.of(file_id), fresh=fresh)


def open_outcome(keys: ServiceKeys, file_id: str, sealed: bytes) -> FileOutcome:
    """:raises Damaged: it isn't this file's."""
    value: dict[str, Any] = keys.records.open_json(sealed, context=Column.FILE_OUTCOME.of(file_id))
    return FileOutcome(
        **{**value, "outcome": FileResult(value["outcome"]), "warnings": tuple(value.get("warnings", ()))}
    )


def client_id(keys: ServiceKeys, row: FileRow) -> str:
    """What the client calls the file; ours where it gave no name."""
    if row.client_id_sealed is None:
        return row.file_id
    return keys.records.open(row.client_id_sealed, context=Column.FILE_CLIENT_ID.of(row.file_id)).decode()


def open_list(records: Sealer, sealed: bytes | None, column: Column, upload_id: str) -> list[Any]:
    """A sealed list of an upload's row; empty if there is none."""
    if sealed is None:
        return []
    value = records.open_json(sealed, context=column.of(upload_id))
    return value if isinstance(value, list) else []


def seal_list(records: Sealer, value: list[Any], column: Column, upload_id: str) -> bytes:
    """See `open_list`."""
    return records.seal_json(value, context=column.of(upload_id))


@dataclass(slots=True)
class Memory:
    """What an attempt must know of the former ones.

    :param receipt_id: of the receipt to come.
    :param released: a person has released the upload: it isn't held again.
    :param held: comma list of codes for which it was held before that, and `released_at`, unix seconds: jobs of older
        releases have them, now they are in the upload's row.
    :param identified: nothing holds it; the PACS need not be asked again.
    :param mismatched: comma list of declared fields that the files contradict.
    :param unidentified: as `identity_not_checked` in `doubts`; jobs of older releases have it.
    :param doubts: comma list of warnings of the identity check.
    :param blind: the PACS can't be asked what it has.
    :param verify_until: unix seconds; 0: the last look hasn't begun.
    :param looks: at the PACS since then.
    :param commit_round: how often storage commitment was asked for; `commit_until`: unix seconds, how
        long the answer to the last request is waited for.
    :param streamed: instances may have left before the upload was complete.
    :param looked_at: keyed digests of whose instances they were that it was held for last, while more came.
    :param unread: answers to a request to store that nobody could read, of a PACS that can't be asked.
    """

    receipt_id: str = ""
    released: bool = False
    identified: bool = False
    mismatched: str = ""
    unidentified: bool = False
    doubts: str = ""
    held: str = ""
    released_at: float = 0.0
    blind: bool = False
    verify_until: float = 0.0
    looks: int = 0
    unread: int = 0
    commit_round: int = 0
    commit_until: float = 0.0
    streamed: bool = False
    looked_at: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, keys: ServiceKeys, job: JobRow) -> Memory:
        """:raises Damaged: it isn't this job's."""
        if job.memory_sealed is None:
            return cls()
        return cls(**keys.records.open_json(job.memory_sealed, context=Column.JOB_MEMORY.of(job.job_id)))

    def sealed(self, keys: ServiceKeys, job_id: int) -> bytes:
        """For `memory_sealed`."""
        return keys.records.seal_json(asdict(self), context=Column.JOB_MEMORY.of(job_id))
