"""Rows of the ledger, as frozen values. Whoever changes one writes a row back that `replace` made.

Ids of ours are 32 lower hex digits. `*_sealed` is ciphertext: under the upload's key (dies with it) or under the
records key (lives as long as the record). `*_mac` is a keyed digest for look-ups. Times are unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from gateway.states import FileState, UploadState

if TYPE_CHECKING:
    from dataclasses import replace as replace  # noqa: PLC0414 # the same, with its types
else:
    _PLANS: dict[type, tuple[Callable[[Any], tuple[Any, ...]], dict[str, int]]] = {}

    def replace(row: Any, /, **changes: Any) -> Any:
        """`dataclasses.replace` of a row in a third of its time, which was a quarter of the ledger writer's.

        :raises KeyError: there is no such field.
        """
        kind = type(row)
        plan = _PLANS.get(kind)
        if plan is None:
            names = [field.name for field in fields(kind)]
            plan = _PLANS[kind] = attrgetter(*names), {name: number for number, name in enumerate(names)}
        values_of, place = plan
        values = list(values_of(row))
        for name, value in changes.items():
            values[place[name]] = value
        return kind(*values)


class Dialect(StrEnum):
    """How a file grows; what grows in another way may not write into it."""

    TAIL = "tus"  #: at its tail: over tus and the IETF draft, in turns if a client likes
    REST = "rest"
    PART = "part"  #: at its tail; a part of a tus concatenation: no file of the upload, in none of its lists and counts
    FINAL = "final"  #: not at all: it is put together from parts
    GATEWAY = "gateway"  #: none: the gateway made it, from notes; no client's list or count has it


class JobKind(StrEnum):
    """What a worker is asked to do."""

    CHECK = "check"  #: validate one whole file
    COMPLETE = "complete"  #: complete an upload that its client forgot to complete
    DELIVER = "deliver"  #: bring an upload into its PACS
    TELL = "tell"  #: bring a message on an upload to one receiver


@dataclass(frozen=True, slots=True)
class UploadRow:
    """A submission."""

    upload_id: str
    owner_id: str  #: account that opened it
    endpoint_id: str
    single: bool  #: opened by the gateway for one file; completed when that is whole
    state: UploadState
    epoch: int  #: goes up when what is under way for it must stop
    key_id: int | None  #: row of `keys`; None: erased, nobody can read it any more
    kek_id: str
    total_files: int  #: declared, less removed
    total_size_bytes: int  #: declared, less removed
    reserved_bytes: int  #: sealed bytes set aside in the spool
    chunk_size: int  #: bytes
    live_files: int  #: created and not removed
    planned_bytes: int  #: told lengths (REST: received bytes) of the live files
    received_bytes: int  #: durable bytes of all its files
    whole_files: int
    whole_bytes: int
    meta_sealed: bytes | None  #: {study_metadata, clinical_notes?, uploader?} (upload's key)
    skipped_sealed: bytes | None  #: what `complete` declared as skipped (records key)
    warnings_sealed: bytes | None  #: list of {code, file_id?, sop_instance_uid?, message} (records key)
    studies_sealed: bytes | None  #: outcome per study, once known (records key)
    held_codes: str  #: comma list of reasons for which it is, or was, held
    receipt_id: str | None
    created_at: float
    active_at: float  #: last byte or question of its client
    expires_at: float
    completed_at: float | None
    finished_at: float | None  #: entered success, partial, failed, cancelled or expired
    erased_at: float | None  #: its bytes are unreadable since
    wipe: bool = False  #: devices that hold its tokens are told to delete it
    unbegun_files: int = 0  #: REST files of which no chunk was accepted yet; `complete` makes nothing of them
    ending_files: int = 0  #: REST files without a hole that `complete` ends; their rows follow page by page
    ending_bytes: int = 0  #: of those
    by_qr: bool = False  #: opened by the holder of a QR code, whose names for things aren't its owner's to read
    held_at: float | None = None  #: None also: held by a release that didn't note it
    released_at: float | None = None  #: a person let it go; it isn't held again
    priority: str = ""  #: `routine`, `urgent` or `stat`, as declared; empty: it wasn't
    delayed_at: float | None = None  #: it was told that it is late
    queued_at: float | None = None  #: since when it is on its way to its PACS: completed, released or retried
    parts: int = 0  #: of concatenations, that no final has taken
    part_bytes: int = 0  #: told lengths of those; of the others what came; `received_bytes` has what came of all
    route: int | None = None  #: the rule that chose its endpoints, from 1; 0: none fitted; None: nobody asked yet
    open_deliveries: int = 0  #: of several: those that are under way or held

    @property
    def held_reasons(self) -> list[str]:
        """Codes for which a person still has to look at it."""
        return self.held_codes.split(",") if self.held_codes and self.released_at is None else []


@dataclass(frozen=True, slots=True)
class AccountSums:
    """What the uploads of one account take together."""

    open_uploads: int  #: neither completed nor over
    reserved_bytes: int  #: of those that aren't erased


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there of uploads, and what has waited longest. All of it is kept, nothing is counted for it."""

    uploads: Mapping[tuple[str, UploadState], int]  #: by endpoint_id and state; none is left out or 0
    queued_since: Mapping[str, float]  #: by endpoint_id: the longest `queued_at` of those that are `delivering`
    held_since: Mapping[str, float]  #: by endpoint_id: the longest `held_at` of those that are `held`
    delayed: Mapping[str, int]  #: by endpoint_id: those that were told to be late and aren't over
    reserved_bytes: int
    awaited_bytes: int


@dataclass(frozen=True, slots=True)
class FileRow:
    """One DICOM object of an upload."""

    file_id: str  #: random; the last part of its tus URL
    upload_id: str
    dialect: Dialect
    state: FileState
    client_mac: bytes | None  #: of the client's file_id, under the upload's key
    client_id_sealed: bytes | None  #: the client's file_id (records key)
    meta_sealed: bytes | None  #: Upload-Metadata as received (upload's key)
    key_id: int | None
    length: int | None  #: bytes; None: not told yet
    offset: int  #: durable bytes; for REST: of all accepted chunks
    total_chunks: int | None
    chunks: int  #: REST: how many are there
    highest_chunk: int  #: REST: highest index that is there; -1: none
    sealed_bytes: int  #: what its segments take in the spool
    facts_sealed: bytes | None  #: sha256, verdict, DICOM facts with the patient's (upload's key)
    outcome_sealed: bytes | None  #: UIDs, sha256, outcome, the PACS's reason code (records key)
    created_at: float
    whole_at: float | None
    bytes_sealed: bytes | None  #: all of a file that the gateway made, instead of runs in the spool (file's key)
    concat_sealed: bytes | None = None  #: `Upload-Concat` of a final as received (upload's key)
    sources_sealed: bytes | None = None  #: keys of the parts whose entries a final's runs name (file's key)
    fence: int = 0  #: who began to write to its tail under another one commits nothing


@dataclass(frozen=True, slots=True)
class RunRow:
    """Consecutive bytes of a file inside one entry of a segment."""

    run_id: int  #: 0 before it is inserted
    file_id: str
    segment_id: str
    start: int  #: offset in the file's plaintext
    length: int
    position: int  #: of its first frame in the blob
    first_frame: int  #: its number in the entry
    content_mac: bytes | None  #: REST chunks: keyed digest, to tell a repeat from a conflict
    entry_at: int  #: of the entry's header in the blob
    entry_id: str  #: the segment's own id: all of it is one entry, of format 1
    sealed_bytes: int  #: of the entry up to the run's end; 0: of format 1
    source_id: str = ""  #: the file that the entry was sealed for; empty: this one
    source_start: int = 0  #: offset in the source's plaintext, where it is another one's

    @property
    def end(self) -> int:
        """Offset in the file's plaintext just after it."""
        return self.start + self.length


class SharedState(StrEnum):
    """What may become of a segment that files share."""

    OPEN = "open"  #: entries may come; it is never removed
    CLOSED = "closed"  #: no more come
    TIDY = "tidy"  #: what no row names was given back to the medium


@dataclass(frozen=True, slots=True)
class SharedSegmentRow:
    """A segment that several files share."""

    segment_id: str
    session_id: str  #: of the process that writes it, or wrote it
    state: SharedState


#: Of a job, by the priority of its upload: the least goes first. Others are the last one's.
URGENCY: Mapping[str, int] = {"stat": 0, "urgent": 1, "routine": 2}


@dataclass(frozen=True, slots=True)
class JobRow:
    """Work that survives a crash."""

    job_id: int  #: 0 before it is inserted
    kind: JobKind
    upload_id: str
    file_id: str | None
    due_at: float
    attempts: int
    tried_s: float  #: time in which trying was possible, counted against delivery.retry_for
    lease_by: str | None
    lease_until: float | None
    memory_sealed: bytes | None  #: what an attempt must know of the former ones (records key)
    last_code: str  #: why the last attempt ended
    owner_id: str = ""  #: account that opened the upload; `insert` fills it in
    endpoint_id: str = ""  #: DELIVER: which of several deliveries; empty: the upload has one
    urgency: int = 2  #: 0: its upload is `stat`, 1: `urgent`, 2: neither; `insert` fills it in


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One of several ways of an upload, to one endpoint. An upload with one endpoint has none: its own row says it all."""

    upload_id: str
    endpoint_id: str
    place: int  #: in the order of the rule; fallbacks behind
    required: bool  #: the upload is no success without it
    state: UploadState  #: delivering, held, success, partial or failed
    fallback: str  #: endpoint ids that may stand in for it still, with a space between them
    replaced_by: str  #: endpoint that stands in for it, for it has failed; empty: none does
    held_codes: str
    receipt_id: str | None
    warnings_sealed: bytes | None  #: as the upload's
    studies_sealed: bytes | None  #: as the upload's
    queued_at: float | None
    held_at: float | None
    released_at: float | None
    finished_at: float | None

    @property
    def is_open(self) -> bool:
        """It is under way, or a person has to look at it."""
        return self.state in {UploadState.DELIVERING, UploadState.HELD}


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """What became of a file at one of several endpoints. As long as nothing was done there is none."""

    file_id: str
    endpoint_id: str
    state: FileState
    outcome_sealed: bytes | None  #: as the file's


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A signed receipt."""

    receipt_id: str
    upload_id: str
    kid: str
    jws_sealed: bytes  #: compact JWS, packed (records key)
    created_at: float


@dataclass(frozen=True, slots=True)
class DeliveredRow:
    """This gateway brought these bytes under this UID to this endpoint."""

    instance_mac: bytes  #: index key over endpoint | SOPInstanceUID
    content_mac: bytes  #: index key over endpoint | SOPInstanceUID | sha256
    receipt_id: str
    delivered_at: float


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A local account."""

    account_id: str
    name_mac: bytes  #: index key over the name, for logging in
    name_sealed: bytes  #: (records key)
    role: str
    password_hash: str  #: Argon2id, PHC string
    disabled_at: float | None
    created_at: float
    wipe: bool = False  #: its devices are told to delete what it left there
    endpoints: str = ""  #: ids of those it may send to, with a space between them; empty: all
    must_change: bool = False  #: another password has to be set before anything else


@dataclass(frozen=True, slots=True)
class RefreshTokenRow:
    """One link of a family of rotating refresh tokens; only its hash is kept."""

    token_hash: bytes
    family_id: str
    parent_hash: bytes | None
    account_id: str
    upload_id: str | None  #: None: it renews an access token
    spent: bool  #: its successor has been used: using it again revokes the family
    issued_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class QrRow:
    """A QR code: one token that opens one upload, once. Only the token's hash is kept."""

    qr_id: str
    token_hash: bytes
    issuer_id: str  #: account that made it; it owns the upload, too
    endpoint_id: str
    max_files: int | None
    max_bytes: int | None
    terms_sealed: bytes  #: {label, expected} (records key)
    reopens_id: str | None  #: the unfinished upload that it opens again; None: a new one
    created_at: float
    expires_at: float
    used_at: float | None
    revoked_at: float | None
    upload_id: str | None  #: what it opened

    @property
    def counts_until(self) -> float:
        """Until then it counts against `limits.qr_codes`: a used one not at all, for uploads have their own quota.

        A day at least and revoked or not, for its row stays: codes made in a loop would fill the ledger.
        """
        return 0.0 if self.used_at is not None else max(self.expires_at, self.created_at + 86_400.0)


@dataclass(frozen=True, slots=True)
class IdempotencyRow:
    """The answer that a repeated Idempotency-Key gets again."""

    principal: str
    key_mac: bytes
    body_mac: bytes
    upload_id: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One link of the audit chain. `detail` is JSON without a patient's data."""

    number: int
    at: float
    event: str
    actor: str
    upload_id: str | None
    detail: str
    mac: bytes


@dataclass(frozen=True, slots=True)
class ServiceKeyRow:
    """A key of the gateway's own, wrapped under a KEK."""

    name: str
    kek_id: str
    key_id: int
    created_at: float
