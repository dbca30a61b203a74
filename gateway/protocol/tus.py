"""The tus 1.0.0 face: headers in, commands out; facts in, headers out. (tus.io/protocols/resumable-upload)

Extensions are announced here and nowhere else; what isn't announced is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import Malformed, NotBuilt, UnsupportedMediaType, UnsupportedVersion
from gateway.protocol.headers import (
    OFFSET_MEDIA_TYPE,
    TUS_VERSION,
    Headers,
    http_date,
    number,
    optional_number,
    parse_metadata,
    single,
)

EXTENSIONS = ("creation", "creation-with-upload", "expiration", "termination")


@dataclass(frozen=True, slots=True)
class Creation:
    """POST to the creation URL."""

    length: int  #: bytes
    metadata: dict[str, bytes]
    raw_metadata: str | None  #: as received, to be echoed
    with_body: bool


@dataclass(frozen=True, slots=True)
class Patch:
    """PATCH of an upload resource."""

    at: int
    length: int | None  #: bytes, of the whole file, where the client says it again


def check_version(headers: Headers) -> None:
    """:raises UnsupportedVersion: every request but OPTIONS must speak 1.0.0 (Core, Tus-Resumable)."""
    if single(headers, "Tus-Resumable") != TUS_VERSION:
        raise UnsupportedVersion("Tus-Resumable must be 1.0.0")


def read_creation(headers: Headers, content_type: str | None) -> Creation:
    """Headers of a creation (Creation; Creation With Upload).

    :param content_type: the media type, None where the header is absent.
    :raises Malformed: no length, or one that isn't a number.
    :raises NotBuilt: an extension that isn't announced.
    :raises UnsupportedMediaType: a body of another type.
    """
    if single(headers, "Upload-Length") is not None and single(headers, "Upload-Defer-Length") is not None:
        raise Malformed("Upload-Length and Upload-Defer-Length exclude each other", code="malformed_header")
    _refuse_not_built(headers)
    length = single(headers, "Upload-Length")
    if length is None:
        raise Malformed("Upload-Length is missing", code="malformed_header")
    raw = single(headers, "Upload-Metadata")
    return Creation(
        length=number("Upload-Length", length),
        metadata=parse_metadata(raw) if raw is not None else {},
        raw_metadata=raw,
        with_body=_has_body(content_type),
    )


def _refuse_not_built(headers: Headers) -> None:
    for name in ("Upload-Defer-Length", "Upload-Concat", "Upload-Checksum"):
        if single(headers, name) is not None:
            raise NotBuilt(f"{name}: this tus extension isn't built yet")


def _has_body(content_type: str | None) -> bool:
    if content_type is None:
        return False
    if content_type != OFFSET_MEDIA_TYPE:
        raise UnsupportedMediaType(f"the body of a creation must be {OFFSET_MEDIA_TYPE}")
    return True


def read_patch(headers: Headers, content_type: str | None) -> Patch:
    """Headers of a PATCH (Core).

    :raises UnsupportedMediaType: not `application/offset+octet-stream`.
    :raises Malformed: no offset, or one that isn't a number.
    :raises NotBuilt: an extension that isn't announced.
    """
    if content_type != OFFSET_MEDIA_TYPE:
        raise UnsupportedMediaType(f"the body of a PATCH must be {OFFSET_MEDIA_TYPE}")
    _refuse_not_built(headers)
    at = optional_number(headers, "Upload-Offset")
    if at is None:
        raise Malformed("Upload-Offset is missing", code="malformed_header")
    return Patch(at, optional_number(headers, "Upload-Length"))


def options_headers(max_size: int) -> dict[str, str]:
    """Answer to OPTIONS. :param max_size: bytes, of one file."""
    return {
        "Tus-Version": TUS_VERSION,
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Max-Size": str(max_size),
    }


def offset_headers(offset: int, expires_at: float | None) -> dict[str, str]:
    """Answer to a creation or a PATCH. :param expires_at: unix seconds, None once the file is whole."""
    found = {"Upload-Offset": str(offset)}
    if expires_at is not None:
        found["Upload-Expires"] = http_date(expires_at)
    return found


def head_headers(offset: int, length: int | None, raw_metadata: str | None, expires_at: float | None) -> dict[str, str]:
    """Answer to HEAD (Core; Expiration)."""
    found = offset_headers(offset, expires_at) | {"Cache-Control": "no-store"}
    if length is not None:
        found["Upload-Length"] = str(length)
    if raw_metadata is not None:
        found["Upload-Metadata"] = raw_metadata
    return found
