"""The REST facade's requests: what each may hold, and what becomes of it (CONTRACT 2 and 2.2).

Each body and each query is a `Record`: whoever reads it and whoever describes it go by the same one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.protocol.chunks import MAX_CHUNK_INDEX, Chunk
from gateway.protocol.fields import (
    Choice,
    Digits,
    Field,
    FieldKind,
    Flag,
    Integer,
    Record,
    Schema,
    Text,
    Texts,
    invalid,
    known,
)
from gateway.protocol.values import (
    BirthDate,
    Checksums,
    FileId,
    LoginText,
    Mailbox,
    OneValue,
    ReasonText,
    check_file_id,
)

DEFAULT_WAIT_S = 30
MAX_WAIT_S = 60
MAX_NOTES = 16 * 1024
MAX_PAGE = 1000

_WAIT = re.compile(r'\s*wait\s*=\s*(?:([0-9]{1,6})|"([0-9]{1,6})")\s*(?:;|$)', re.IGNORECASE)
_MAX_EVENT = 10**18 - 1
#: Fields of `study_metadata` that have a name here; there may be others.
DECLARED = (
    "patient_name",
    "patient_id",
    "patient_birth_date",
    "patient_sex",
    "study_date",
    "modality",
    "study_description",
    "accession_number",
    "study_instance_uid",
    "referring_physician",
    "priority",
)


# --- what is asked for ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Init:
    """Body of `POST /upload/init`."""

    study_metadata: dict[str, str]
    total_files: int
    total_size_bytes: int
    endpoint_id: str | None
    clinical_notes: str
    uploader: dict[str, str]

    def meta(self) -> dict[str, object]:
        """What is sealed with the upload."""
        return {
            "study_metadata": self.study_metadata,
            "clinical_notes": self.clinical_notes,
            "uploader": self.uploader,
        }


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that its client won't send."""

    file_id: str | None
    reason: str


class SkippedFiles(FieldKind):
    """A list of files that won't be sent, none twice."""

    codes: ClassVar[frozenset[str]] = frozenset({"invalid_field", "missing_field", "unknown_field"})

    def read(self, name: str, value: Any) -> tuple[SkippedFile, ...]:
        if not isinstance(value, list):
            raise invalid(name, "a list")
        skipped = tuple(self._one(name, item) for item in value)
        named = [one.file_id for one in skipped if one.file_id is not None]
        if len(named) != len(set(named)):
            raise invalid(name, "a list that names no file twice")
        return skipped

    @staticmethod
    def _one(name: str, item: Any) -> SkippedFile:
        if not isinstance(item, dict):
            raise invalid(name, "a list of objects")
        known(name, item, ("file_id", "reason"))
        if "reason" not in item:
            raise Text().missing(f"{name}.reason")
        file_id = item.get("file_id")
        return SkippedFile(
            file_id=check_file_id(file_id) if file_id is not None else None,
            reason=Text(256).read(f"{name}.reason", item["reason"]),
        )

    def schema(self) -> Schema:
        one = {
            "type": "object",
            "properties": {
                "file_id": {"anyOf": [FileId().schema(), {"type": "null"}]},
                "reason": Text(256).schema(),
            },
            "required": ["reason"],
            "additionalProperties": False,
        }
        return {"type": "array", "items": one}


@dataclass(frozen=True, slots=True)
class Complete:
    """Body of `POST /upload/{upload_id}/complete`. Checksums: client's file_id -> {hashlib name: raw digest}."""

    checksums: dict[str, dict[str, bytes]]
    skipped: tuple[SkippedFile, ...]


@dataclass(frozen=True, slots=True)
class QrWish:
    """Body of `POST /qr`."""

    endpoint_id: str
    ttl_s: float | None
    label: str
    max_files: int | None
    max_bytes: int | None
    expected: dict[str, str]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Body of `POST /auth/login`."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """Body of `POST /auth/password`."""

    password: str
    new_password: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Body of `POST /admin/uploads/{upload_id}/drop`."""

    reason: str
    wipe: bool


@dataclass(frozen=True, slots=True)
class PageWish:
    """A page of a listing."""

    cursor: str
    limit: int


@dataclass(frozen=True, slots=True)
class FoundWish(PageWish):
    """A page of what fits: filters by their names, empty ones too."""

    filters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ChunkName:
    """Which chunk of which file."""

    file_id: str
    chunk: Chunk


# --- the records ------------------------------------------------------------------------------------------------------

CREDENTIALS = Record(
    Credentials,
    (Field("username", LoginText(), required=True), Field("password", LoginText(), required=True)),
)
PASSWORDS = Record(
    PasswordChange,
    (
        Field("password", LoginText(), "The present one.", required=True),
        Field("new_password", LoginText(), required=True),
    ),
)
_PRIORITY = Choice(("routine", "urgent", "stat"))
_STUDY = Texts(dict.fromkeys(DECLARED, Text()) | {"priority": _PRIORITY}, open=True)
_UPLOADER = Texts(dict.fromkeys(("name", "organisation", "phone"), Text()) | {"email": Mailbox()})
INIT = Record(
    Init,
    (
        Field("study_metadata", _STUDY, "What is known of the study; sealed like the bytes.", required=True),
        Field("total_files", Integer(least=1), required=True),
        Field("total_size_bytes", Integer(), required=True),
        Field("endpoint_id", Text(), "One of `GET /endpoints`; left out: the default, or the QR code's."),
        Field("clinical_notes", Text(MAX_NOTES), "For the radiologist.", default=""),
        Field("uploader", _UPLOADER, "Whom the radiologist may ask.", default={}),
    ),
)
COMPLETE = Record(
    Complete,
    (
        Field("checksums", Checksums(), "The client's file_id -> `sha-256=:base64:` of the whole file.", default={}),
        Field("skipped", SkippedFiles(), "Files that were declared and won't come.", default=()),
    ),
)


def _qr_wish(*, ttl_seconds: int | None, **told: Any) -> QrWish:
    return QrWish(ttl_s=ttl_seconds, **told)


_EXPECTED = Texts({"patient_id": OneValue(64), "patient_birth_date": BirthDate(), "accession_number": OneValue(64)})
_TTL = Field("ttl_seconds", Integer(least=1), "Seconds; left out: `tokens.qr_ttl`.")
QR = Record(
    _qr_wish,
    (
        Field("endpoint_id", Text(), required=True),
        _TTL,
        Field("label", Text(256), "For its issuer; sealed.", default=""),
        Field("max_files", Integer(least=1)),
        Field("max_bytes", Integer(least=1), "Left out: `limits.qr_max_bytes`."),
        Field("expected", _EXPECTED, "The files are checked against it.", default={}),
    ),
)
REOPEN = Record(lambda *, ttl_seconds: ttl_seconds, (_TTL,))
_REASON = Field("reason", ReasonText(), "It is audited.", required=True)
REASON = Record(lambda *, reason: str(reason), (_REASON,))
#: An uploader needs none to end its own upload.
CANCEL = Record(lambda *, reason: str(reason), (Field("reason", ReasonText(), "Needed of an admin.", default=""),))
DROP = Record(
    Drop, (_REASON, Field("wipe", Flag(), "Its device deletes what it keeps of it.", default=False, nullable=False))
)


def found_in(filters: Sequence[str], *, query: bool = False) -> Record[FoundWish]:
    """The record of a search by these filters, in a body or in a query."""

    def wish(*, cursor: str, limit: int, **given: str) -> FoundWish:
        return FoundWish(cursor, limit, given)

    return Record(wish, (*(Field(name, Text(), default="") for name in filters), *_page_fields(query=query)))


def _page_fields(*, query: bool) -> tuple[Field, Field]:
    limit = Digits(1, MAX_PAGE) if query else Integer(1, MAX_PAGE)
    return Field("cursor", Text(), "From the page before.", default=""), Field("limit", limit, default=100)


PAGE = Record(PageWish, _page_fields(query=True), closed=False)
TRAIL = Record(
    dict[str, int],
    (
        Field("after", Digits(0, _MAX_EVENT), "Number of the last event that is known.", default=0),
        Field("limit", Digits(1, MAX_PAGE), default=100),
    ),
)


def _chunk_name(*, file_id: str, chunk_index: int, total_chunks: int | None) -> ChunkName:
    return ChunkName(file_id, Chunk(chunk_index, total_chunks))


CHUNK = Record(
    _chunk_name,
    (
        Field("file_id", FileId(), "The client's own name of the file.", required=True),
        Field("chunk_index", Digits(0, MAX_CHUNK_INDEX), required=True),
        Field("total_chunks", Digits(1, MAX_CHUNK_INDEX + 1), "Of the file; it is whole when all are there."),
    ),
    closed=False,
)
#: What the IETF draft's POST is told beside its headers.
DESTINATION = Record(
    dict[str, "str | None"],
    (
        Field("endpoint_id", Text(), "For a file whose bearer is an access token."),
        Field("upload_id", Text(), "One of the bearer's own uploads, that the file is to join."),
    ),
)
REVEAL = Record(lambda *, reveal: str(reveal), (Field("reveal", Text(), "POST to `reveal` instead.", default="0"),))
RECEIPT = Record(
    lambda *, endpoint_id: str(endpoint_id),
    (Field("endpoint_id", Text(), "Which of several; without it that of the upload.", default=""),),
    closed=False,
)
REVOKE = Record(
    lambda *, uploads: uploads == "cancel",
    (Field("uploads", Choice(("", "cancel")), "`cancel` ends what it opened, too.", default=""),),
    closed=False,
)


def prefer_wait(values: Sequence[str]) -> int | None:
    """Seconds that `Prefer: wait=N` is granted (RFC 7240 4.3); None: nothing of the kind is preferred."""
    for preference in _preferences(", ".join(values)):
        if match := _WAIT.match(preference):
            return min(int(match[1] or match[2]), MAX_WAIT_S)
    return None


def _preferences(text: str) -> list[str]:
    """Split at commas; one inside quotes separates nothing. One look at each character, whatever the quotes are like."""
    parts, begun, quoted, escaped = [], 0, False, False
    for at, letter in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and letter == "\\":
            escaped = True
        elif letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            parts.append(text[begun:at])
            begun = at + 1
    return [*parts, text[begun:]]
