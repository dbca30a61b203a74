"""The tus 1.0.0 face: headers in, commands out; facts in, headers out. (tus.io/protocols/resumable-upload)

Extensions are announced here and nowhere else; what isn't announced is refused by name.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

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

EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
    "concatenation-unfinished",
)
PARTIAL, FINAL = "partial", "final;"  #: of `Upload-Concat`
#: Of `Upload-Checksum`, by tus' names, which are hashlib's, and the sizes of their digests in bytes.
CHECKSUM_ALGORITHMS = {"sha1": 20, "sha256": 32, "sha512": 64, "md5": 16}


@dataclass(frozen=True, slots=True)
class Creation:
    """POST to the creation URL."""

    length: int | None  #: bytes; None: told later (Creation With Deferred Length)
    metadata: dict[str, bytes]
    raw_metadata: str | None  #: as received, to be echoed
    with_body: bool
    digests: dict[str, bytes] = field(default_factory=dict)  #: of the body, hashlib name -> raw digest
    part: bool = False  #: it is to be a part of a concatenation
    parts: tuple[str, ...] | None = None  #: addresses of the parts that it is put together from, as received
    raw_concat: str | None = None  #: as received, to be echoed


@dataclass(frozen=True, slots=True)
class Patch:
    """PATCH of an upload resource."""

    at: int
    length: int | None  #: bytes, of the whole file, where the client tells it
    digests: dict[str, bytes] = field(default_factory=dict)  #: of the body, hashlib name -> raw digest


def check_version(headers: Headers) -> None:
    """:raises UnsupportedVersion: every request but OPTIONS must speak 1.0.0 (Core, Tus-Resumable)."""
    if single(headers, "Tus-Resumable") != TUS_VERSION:
        raise UnsupportedVersion("Tus-Resumable must be 1.0.0")


def read_creation(headers: Headers, content_type: str | None) -> Creation:
    """Headers of a creation (Creation; Creation With Upload; Creation With Deferred Length; Checksum; Concatenation).

    :param content_type: the media type, None where the header is absent.
    :raises Malformed: no length, or one that isn't a number; a checksum that can't be checked.
    :raises NotBuilt: an extension that isn't announced.
    :raises UnsupportedMediaType: a body of another type.
    """
    _refuse_not_built(headers)
    concat = single(headers, "Upload-Concat")
    parts = _parts(concat)
    length = _length(headers) if parts is None else None
    if parts is not None and (_length_fields(headers) != (None, None) or content_type is not None):
        raise Malformed("a final upload has neither a length nor bytes of its own", code="malformed_header")
    raw = single(headers, "Upload-Metadata")
    return Creation(
        length=length,
        metadata=parse_metadata(raw) if raw is not None else {},
        raw_metadata=raw,
        with_body=_has_body(content_type),
        digests=_digests(headers),
        part=concat == PARTIAL,
        parts=parts,
        raw_concat=concat,
    )


def _parts(concat: str | None) -> tuple[str, ...] | None:
    """`Upload-Concat: final;address address ...`; None: it isn't final. :raises Malformed: neither that nor `partial`."""
    if concat is None or concat == PARTIAL:
        return None
    parts = tuple(concat.removeprefix(FINAL).split())
    if not concat.startswith(FINAL) or not concat.isascii() or not parts:
        raise Malformed("Upload-Concat must be partial, or final; and addresses", code="malformed_header")
    return parts


def _length_fields(headers: Headers) -> tuple[str | None, str | None]:
    return single(headers, "Upload-Length"), single(headers, "Upload-Defer-Length")


def _length(headers: Headers) -> int | None:
    length, deferred = _length_fields(headers)
    if (length is None) == (deferred is None):
        raise Malformed("give one of Upload-Length and Upload-Defer-Length", code="malformed_header")
    if deferred not in (None, "1"):
        raise Malformed("Upload-Defer-Length must be 1", code="malformed_header")
    return None if length is None else number("Upload-Length", length)


def _digests(headers: Headers) -> dict[str, bytes]:
    """`Upload-Checksum: algorithm base64`. :raises Malformed: another algorithm, or no digest of that one's size."""
    value = single(headers, "Upload-Checksum")
    if value is None:
        return {}
    algorithm, _, encoded = value.strip().partition(" ")
    if algorithm not in CHECKSUM_ALGORITHMS:
        known = ", ".join(CHECKSUM_ALGORITHMS)
        raise Malformed(f"Upload-Checksum must be of {known}", code="checksum_algorithm_unknown")
    try:
        digest = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):  # no base64, or characters that aren't ASCII
        digest = b""
    if len(digest) != CHECKSUM_ALGORITHMS[algorithm]:
        raise Malformed("Upload-Checksum isn't a digest in base64", code="malformed_header")
    return {algorithm: digest}


def _refuse_not_built(headers: Headers) -> None:
    named = ",".join(headers.getall("Trailer", ())).lower().split(",")
    if "upload-checksum" in (name.strip() for name in named):
        raise NotBuilt("Upload-Checksum in a trailer: this tus extension isn't built")


def _has_body(content_type: str | None) -> bool:
    if content_type is None:
        return False
    if content_type != OFFSET_MEDIA_TYPE:
        raise UnsupportedMediaType(f"the body of a creation must be {OFFSET_MEDIA_TYPE}")
    return True


def read_patch(headers: Headers, content_type: str | None) -> Patch:
    """Headers of a PATCH (Core).

    :raises UnsupportedMediaType: not `application/offset+octet-stream`.
    :raises Malformed: no offset, or one that isn't a number; a checksum that can't be checked.
    :raises NotBuilt: an extension that isn't announced.
    """
    if content_type != OFFSET_MEDIA_TYPE:
        raise UnsupportedMediaType(f"the body of a PATCH must be {OFFSET_MEDIA_TYPE}")
    _refuse_not_built(headers)
    at = optional_number(headers, "Upload-Offset")
    if at is None:
        raise Malformed("Upload-Offset is missing", code="malformed_header")
    return Patch(at, optional_number(headers, "Upload-Length"), _digests(headers))


def options_headers(max_size: int) -> dict[str, str]:
    """Answer to OPTIONS. :param max_size: bytes, of one file."""
    return {
        "Tus-Version": TUS_VERSION,
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Max-Size": str(max_size),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUM_ALGORITHMS),
    }


def offset_headers(offset: int, expires_at: float | None) -> dict[str, str]:
    """Answer to a creation or a PATCH. :param expires_at: unix seconds, None once the file is whole."""
    found = {"Upload-Offset": str(offset)}
    if expires_at is not None:
        found["Upload-Expires"] = http_date(expires_at)
    return found


def head_headers(
    offset: int,
    length: int | None,
    raw_metadata: str | None,
    expires_at: float | None,
    *,
    concat: str | None = None,
    waits: bool = False,
) -> dict[str, str]:
    """Answer to HEAD (Core; Creation With Deferred Length; Expiration; Concatenation).

    :param waits: it is a final whose parts aren't all there yet: it has no offset.
    """
    found = offset_headers(offset, expires_at) | {"Cache-Control": "no-store"}
    if waits:
        del found["Upload-Offset"]
    if length is not None:
        found["Upload-Length"] = str(length)
    elif not waits:
        found["Upload-Defer-Length"] = "1"
    if concat is not None:
        found["Upload-Concat"] = concat
    if raw_metadata is not None:
        found["Upload-Metadata"] = raw_metadata
    return found
