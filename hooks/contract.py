"""The two contracts of a hook. All calls are synchronous and run in worker threads or child processes.

A **check** looks at one instance and answers with a value: `Accept`, `Skip` or `Reject`. To raise means that the
hook itself broke.
A **target** takes a batch of instances to a PACS and says of each what became of it. `TargetError`s speak of the
whole target, never of one instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Source(Protocol):
    """The plaintext of one file, read from any place; nothing large is held."""

    @property
    def size_bytes(self) -> int:
        """Length of the whole."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`, fewer only at the end."""

    def readinto(self, offset: int, out: memoryview) -> int:
        """The same into the beginning of `out`, as many as it has room for; how many."""

    def close(self) -> None:
        """Give the handles back."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a check learned of an instance. Attribute names as in PS3.6; empty string: absent."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    modality: str = ""
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    accession_number: str = ""
    study_date: str = ""
    # Copied into what the gateway makes for the study:
    study_time: str = ""
    study_id: str = ""
    study_description: str = ""
    referring_physician_name: str = ""
    patient_sex: str = ""
    # What is judged of the patient besides:
    other_patient_ids: str = ""  #: (0010,1000) and the PatientIDs of (0010,1002), by backslash
    issuer_of_accession_number: str = ""  #: local or universal entity ID of (0008,0051)
    station_name: str = ""  #: (0008,1010): uploads are routed by it


@dataclass(frozen=True, slots=True)
class Accept:
    """The instance may go. `warnings` are codes of docs/validation.md."""

    facts: Facts
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """Not an instance for a PACS (DICOMDIR, CD junk): left out with a warning."""

    code: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Must not reach a PACS."""

    code: str


Verdict = Accept | Skip | Reject


class Begun(Protocol):
    """Several files are being judged while whoever asked does something else. It must be ended by `verdicts`."""

    def verdicts(self) -> Sequence[Verdict | None]:
        """Of each in order; None: it wasn't there in time, or the check failed. Doesn't wait for long; what a source raises is
        passed on.
        """


class Check(Protocol):
    """A judgement of one instance."""

    def check(self, source: Source) -> Verdict:
        """:raises CheckBroke: the check itself failed; the instance isn't judged."""

    def begin(self, sources: Sequence[Source]) -> Begun | None:
        """Judge small files that are in memory, as far as that keeps nobody waiting; None: not just now."""

    def close(self) -> None:
        """Stop child processes."""


class CheckBroke(Exception):
    """The check crashed, hung or ran out of memory on this input."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance for a target. `open` gives a fresh `Source`, for each attempt anew."""

    instance_id: str  #: opaque; the key of the target's answers
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    size_bytes: int
    sha256: str  #: hex, of the bytes as received
    open: Callable[[], Source] = field(repr=False)
    facts: Facts = field(default=Facts("", "", "", "", ""), repr=False)  #: what its check learned
    priority: str = "routine"  #: or `urgent`, `stat`


class OutcomeKind(StrEnum):
    """What a target says of one instance."""

    STORED = "stored"  #: acknowledged by name
    FAILED = "failed"  #: refused by name, for good
    BUSY = "busy"  #: refused by name, worth another try
    DUPLICATE = "duplicate"  #: refused by name: there is an instance of that UID already
    DOUBTFUL = "doubtful"  #: refused by name, for a reason that says nothing: may be there, worth one more try
    UNKNOWN = "unknown"  #: named nowhere in the answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance.

    :param reason: the PACS's code (0008,1197); `warning`: (0008,1196).
    :param compared: what is stored was read back, and is the very bytes.
    """

    kind: OutcomeKind
    reason: int | None = None
    warning: int | None = None
    compared: bool = False


class Comparison(StrEnum):
    """Of what a PACS has under a UID with what is to be sent."""

    SAME = "same"  #: the very bytes
    SAME_DATA_SET = "same_data_set"  #: every element behind group 2, though written otherwise
    DIFFERENT = "different"
    UNAVAILABLE = "unavailable"  #: it gives nothing back, or compressed otherwise


class TargetError(Exception):
    """Root of what goes wrong with a target as a whole. `code` is stable; no text of the PACS is kept."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TargetDown(TargetError):
    """It doesn't answer, or not sensibly: try again later. What was sent may or may not have arrived."""

    def __init__(self, code: str, retry_after_s: float | None = None) -> None:
        super().__init__(code)
        self.retry_after_s = retry_after_s


class TargetMisconfigured(TargetError):
    """401 and 407; to a request to store also 403, 404, 405, 415: nothing will go through until a person mends the
    configuration.
    """


class BatchTooLarge(TargetError):
    """413: send fewer at once."""


class SourceBroke(Exception):
    """An instance's bytes aren't as many as its facts say. Nothing short was sent whole.

    :ivar instance_id: of the instance.
    """

    def __init__(self, instance_id: str) -> None:
        super().__init__("source_broke")
        self.instance_id = instance_id


class Stopped(TargetError):
    """`stop` said so in mid-transfer."""

    def __init__(self) -> None:
        super().__init__("stopped")


class LookupRefused(TargetError):
    """The PACS answers no queries, not for us (QIDO forbidden), or not this one."""


class CommitmentRefused(LookupRefused):
    """The PACS commits to nothing: it has no storage commitment, not for us, or takes no request as this one."""


class AskAnew(TargetError):
    """The PACS knows no such request for commitment, or took none when it was asked: a new transaction is needed."""


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """A patient as the PACS has it with a study; empty: it doesn't say."""

    patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str = ""
    issuer_of_patient_id: str = ""
    other_patient_ids: str = ""  #: by backslash
    accession_number: str = ""
    issuer_of_accession_number: str = ""
    study_instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a PACS answered to a request for storage commitment (PS3.4 annex J, PS3.18 chapter 13).

    :param committed: SOPInstanceUIDs that it answers for.
    :param failed: SOPInstanceUID -> its reason (0008,1197), if it told one.
    """

    committed: frozenset[str]
    failed: Mapping[str, int | None]


class Committing(Protocol):
    """A PACS that can be asked to answer for instances. Its questions may raise `TargetDown`, `TargetMisconfigured`."""

    @property
    def reports(self) -> bool:
        """It sends its answer by itself; else it is to be fetched."""

    def ask_commitment(self, transaction_uid: str, instances: Mapping[str, str]) -> float:
        """Ask; the answer may come at once, or later.

        :param transaction_uid: of this request alone.
        :param instances: SOPInstanceUID -> SOPClassUID.
        :returns: after how many seconds it wants to be asked for its answer; 0: it says nothing of that.
        :raises CommitmentRefused: it doesn't commit to anything.
        """

    def fetch_commitment(self, transaction_uid: str) -> float:
        """Ask for the answer to a request; `commitment` has it if it is there. Of one that doesn't report.

        :returns: as `ask_commitment`.
        :raises AskAnew: there will be none.
        """

    def awaits(self, transaction_uid: str) -> bool:
        """It was asked so since the process began: an answer wouldn't be missed."""

    def commitment(self, transaction_uid: str) -> Commitment | None:
        """The answer; None: none yet. Asks nobody."""

    def forget(self, transaction_uid: str) -> None:
        """Nobody waits for its answer any more."""


class Target(Protocol):
    """A PACS. Every call may raise `TargetDown` or `TargetMisconfigured`."""

    def present(self, study_instance_uid: str, series_instance_uids: Iterable[str]) -> dict[str, str]:
        """SOPInstanceUID -> PatientID of what is there of the study (QIDO-RS, paged).

        :raises LookupRefused: it can't be asked.
        """

    def present_of(self, study_instance_uid: str, instances: Mapping[str, str]) -> dict[str, str]:
        """SOPInstanceUID -> PatientID of those of these that are there: a question for each, so of a few.

        :param instances: SOPInstanceUID -> SeriesInstanceUID.
        :raises LookupRefused: it can't be asked.
        """

    def shows(self, sop_instance_uid: str) -> bool:
        """It has an instance of that UID, in whatever study or series. :raises LookupRefused: it can't be asked."""

    def compare(self, instance: Instance) -> Comparison:
        """What it holds under the instance's UID with the instance itself. What `Instance.open` raises is passed on."""

    def patients(
        self, *, patient_id: str = "", accession_number: str = "", study_instance_uid: str = ""
    ) -> list[PatientRecord]:
        """Who has this PatientID, this accession number, or this study, as far as the archive can write them: case,
        leading zeros and letters that its character set hasn't may differ.

        :raises LookupRefused: it can't be asked, or not for this value.
        """

    def deliver(self, batch: Sequence[Instance], stop: Callable[[], bool]) -> dict[str, Outcome]:
        """Send a batch of one study; the answer has every `instance_id` of it.

        What `Instance.open` or a `Source` raises is passed on as it is.

        :param stop: asked at least once per MiB; True ends the transfer.
        :raises BatchTooLarge, Stopped, SourceBroke: see there.
        :raises ValueError: the batch holds a SOPInstanceUID twice: no answer could tell them apart.
        """

    def probe(self) -> str:
        """Ask it something harmless; a short sentence on what answered (for `relaypacs check`)."""

    def close(self) -> None:
        """Give connections back."""
