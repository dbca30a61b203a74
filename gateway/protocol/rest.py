"""The REST facade's requests, read strictly: an unknown field is named, never ignored (CONTRACT 2 and 2.2)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.errors import Malformed, Unprocessable

FILE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
#: Digest algorithms of RFC 9530 that we compute, and hashlib's names for them.
DIGEST_ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}
DEFAULT_WAIT_S = 30
MAX_WAIT_S = 60
MAX_TEXT = 4096
MAX_NOTES = 16 * 1024

_DIGEST = re.compile(r"([a-z0-9-]+)=:([A-Za-z0-9+/=]*):")
_WAIT = re.compile(r'\s*wait\s*=\s*(?:([0-9]{1,6})|"([0-9]{1,6})")\s*(?:;|$)', re.IGNORECASE)
_INIT_FIELDS = (
    "study_metadata",
    "total_files",
    "total_size_bytes",
    "endpoint_id",
    "clinical_notes",
    "uploader",
)
_UPLOADER_FIELDS = ("name", "organisation", "phone")
#: What a QR code may be made for, and how long that may be.
_EXPECTED_FIELDS = {"patient_id": 64, "patient_birth_date": 10, "accession_number": 64}
_PRIORITIES = ("routine", "urgent", "stat")


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


def read_qr(body: Any) -> QrWish:
    """:raises Unprocessable: a field is missing, unknown or of the wrong kind; the error names it."""
    fields = _fields(body, ("endpoint_id", "ttl_seconds", "label", "max_files", "max_bytes", "expected"))
    if "endpoint_id" not in fields:
        raise _missing("endpoint_id")
    expected = _texts("expected", _or(fields, "expected", {}))
    _known("expected", expected, tuple(_EXPECTED_FIELDS))
    _checkable(expected)
    return QrWish(
        endpoint_id=_text("endpoint_id", fields["endpoint_id"]),
        ttl_s=_optional_count("ttl_seconds", fields.get("ttl_seconds")),
        label=_text("label", _or(fields, "label", ""), 256),
        max_files=_optional_count("max_files", fields.get("max_files")),
        max_bytes=_optional_count("max_bytes", fields.get("max_bytes")),
        expected=expected,
    )


def _checkable(expected: dict[str, str]) -> None:
    """:raises Unprocessable: a value that no file could bear out would let everybody through."""
    for name, value in expected.items():
        if not value.strip() or "\\" in value or not value.isprintable() or len(value) > _EXPECTED_FIELDS[name]:
            raise _invalid(f"expected.{name}", f"one value of 1 to {_EXPECTED_FIELDS[name]} characters")
    birth_date = expected.get("patient_birth_date")
    if birth_date is not None and not _is_birth_date(birth_date.strip()):
        raise _invalid("expected.patient_birth_date", "a date, YYYY-MM-DD or YYYYMMDD")


def _is_birth_date(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}", text):
        return False
    try:
        born = date.fromisoformat(text)
    except ValueError:
        return False
    return date(1900, 1, 1) < born < date(2100, 1, 1)  # the limits are written where nobody knows


def read_ttl(body: Any) -> float | None:
    """Body of `POST /admin/uploads/{upload_id}/qr`: `{ttl_seconds?}`."""
    return _optional_count("ttl_seconds", _fields(body, ("ttl_seconds",)).get("ttl_seconds"))


def read_init(body: Any) -> Init:
    """:raises Unprocessable: a field is missing, unknown or of the wrong kind; the error names it."""
    fields = _fields(body, _INIT_FIELDS)
    for name in ("study_metadata", "total_files", "total_size_bytes"):
        if name not in fields:
            raise _missing(name)
    metadata = _texts("study_metadata", fields["study_metadata"])
    if metadata.get("priority", "routine") not in _PRIORITIES:
        raise _invalid("study_metadata.priority", "one of routine, urgent, stat")
    endpoint_id = fields.get("endpoint_id")
    if endpoint_id is not None and not isinstance(endpoint_id, str):
        raise _invalid("endpoint_id", "a string")
    uploader = _texts("uploader", _or(fields, "uploader", {}))
    _known("uploader", uploader, _UPLOADER_FIELDS)
    return Init(
        study_metadata=metadata,
        total_files=_count("total_files", fields["total_files"], least=1),
        total_size_bytes=_count("total_size_bytes", fields["total_size_bytes"], least=0),
        endpoint_id=endpoint_id,
        clinical_notes=_text("clinical_notes", _or(fields, "clinical_notes", ""), MAX_NOTES),
        uploader=uploader,
    )


def read_complete(body: Any) -> Complete:
    """:raises Unprocessable: a field is unknown or of the wrong kind; the error names it."""
    fields = _fields(body, ("checksums", "skipped"))
    checksums = _or(fields, "checksums", {})
    if not isinstance(checksums, dict):
        raise _invalid("checksums", "an object")
    skipped = _or(fields, "skipped", [])
    if not isinstance(skipped, list):
        raise _invalid("skipped", "a list")
    left_out = tuple(_skipped(item) for item in skipped)
    named = [one.file_id for one in left_out if one.file_id is not None]
    if len(named) != len(set(named)):
        raise _invalid("skipped", "a list that names no file twice")
    return Complete(
        checksums={check_file_id(name): _checksum(value) for name, value in checksums.items()},
        skipped=left_out,
    )


def read_reason(body: Any) -> str:
    """The `reason` of an act of an admin. :raises Unprocessable: it is missing."""
    return _reason(_fields(body, ("reason",)))


def read_drop(body: Any) -> tuple[str, bool]:
    """`{reason, wipe?}`. :raises Unprocessable: no reason, or `wipe` is neither true nor false."""
    fields = _fields(body, ("reason", "wipe"))
    wipe = fields.get("wipe", False)
    if not isinstance(wipe, bool):
        raise _invalid("wipe", "true or false")
    return _reason(fields), wipe


def _reason(fields: dict[str, Any]) -> str:
    reason = _text("reason", _or(fields, "reason", "")).strip()
    if not reason:
        raise Unprocessable("say why, as `reason`", code="reason_required", field="reason")
    return reason


def read_find(body: Any, filters: Sequence[str], *, most: int) -> tuple[dict[str, str], str, int]:
    """Filters of a search, its `cursor` and `limit` (1 to `most`). :raises Unprocessable: a field has another form."""
    fields = _fields(body, (*filters, "cursor", "limit"))
    limit = _or(fields, "limit", 100)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= most:
        raise _invalid("limit", f"a number from 1 to {most}")
    given = {name: _text(name, _or(fields, name, "")) for name in (*filters, "cursor")}
    return given, given.pop("cursor"), limit


def read_credentials(body: Any) -> tuple[str, str]:
    """`{username, password}`. :raises Unprocessable: one is missing or no string."""
    fields = _fields(body, ("username", "password"))
    for name in ("username", "password"):
        if not isinstance(fields.get(name), str):
            raise _missing(name)
    return fields["username"], fields["password"]


def read_passwords(body: Any) -> tuple[str, str]:
    """`{password, new_password}`. :raises Unprocessable: one is missing or no string."""
    fields = _fields(body, ("password", "new_password"))
    for name in ("password", "new_password"):
        if not isinstance(fields.get(name), str):
            raise _missing(name)
    return fields["password"], fields["new_password"]


def check_file_id(file_id: Any) -> str:
    """A client's file_id. :raises Unprocessable: not `[A-Za-z0-9_-]{1,64}`."""
    if not isinstance(file_id, str) or not FILE_ID.fullmatch(file_id):
        raise _invalid("file_id", "1 to 64 of A-Z a-z 0-9 _ -")
    return file_id


def chunk_number(name: str, value: str, *, least: int, most: int) -> int:
    """`chunk_index` and `total_chunks` as text. :raises Unprocessable: no such number."""
    if not re.fullmatch(r"[0-9]{1,18}", value) or not least <= int(value) <= most:
        raise _invalid(name, f"an integer from {least} to {most}")
    return int(value)


def read_digest(name: str, value: Any) -> dict[str, bytes]:
    """`sha-256=:base64:` of RFC 9530, hashlib name -> raw digest.

    :raises Malformed: it can't be read, or has no algorithm that we compute.
    """
    if not isinstance(value, str):
        raise Malformed(f"{name} isn't a digest", code="malformed_header")
    found: dict[str, bytes] = {}
    for item in value.split(","):
        match = _DIGEST.fullmatch(item.strip())
        if match is None:
            raise Malformed(f"{name} isn't of the form sha-256=:base64:", code="malformed_header")
        if match[1] in DIGEST_ALGORITHMS:
            try:
                found[DIGEST_ALGORITHMS[match[1]]] = base64.b64decode(match[2], validate=True)
            except binascii.Error:
                raise Malformed(f"{name} isn't base64", code="malformed_header") from None
    if not found:
        raise Malformed(f"{name} has neither sha-256 nor sha-512", code="checksum_algorithm_unknown")
    return found


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


def _fields(body: Any, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Malformed("the body must be a JSON object", code="malformed_json")
    _known("", body, known)
    return body


def _known(where: str, fields: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in fields:
        if name not in known:
            shown = name if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) else "(not shown)"
            path = f"{where}.{shown}" if where else shown
            raise Unprocessable(f"unknown field {path}; known are {', '.join(known)}", code="unknown_field", field=path)


def _or(fields: Mapping[str, Any], name: str, default: Any) -> Any:
    """A field that may be left out or null."""
    value = fields.get(name)
    return default if value is None else value


def _missing(name: str) -> Unprocessable:
    return Unprocessable(f"{name} is missing", code="missing_field", field=name)


def _invalid(name: str, wanted: str) -> Unprocessable:
    return Unprocessable(f"{name} must be {wanted}", code="invalid_field", field=name)


def _text(name: str, value: Any, most: int = MAX_TEXT) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise _invalid(name, f"a string of at most {most} characters")
    return value


def _texts(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) and len(v) <= MAX_TEXT for v in value.values()):
        raise _invalid(name, "an object of strings")
    if len(value) > 64 or not all(len(key) <= 64 for key in value):
        raise _invalid(name, "an object of at most 64 short names")
    return value


def _count(name: str, value: Any, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 50:
        raise _invalid(name, f"an integer of at least {least}")
    return value


def _optional_count(name: str, value: Any) -> int | None:
    return None if value is None else _count(name, value, least=1)


def _checksum(value: Any) -> dict[str, bytes]:
    try:
        return read_digest("checksums", value)
    except Malformed as error:
        raise Unprocessable(error.detail, code="invalid_field", field="checksums") from None


def _skipped(item: Any) -> SkippedFile:
    if not isinstance(item, dict):
        raise _invalid("skipped", "a list of objects")
    _known("skipped", item, ("file_id", "reason"))
    if "reason" not in item:
        raise _missing("skipped.reason")
    file_id = item.get("file_id")
    return SkippedFile(
        file_id=check_file_id(file_id) if file_id is not None else None,
        reason=_text("skipped.reason", item["reason"], 256),
    )
