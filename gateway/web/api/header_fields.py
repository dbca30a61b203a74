"""Header fields of requests and answers: their form, and a sentence for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.protocol.fields import Schema
from gateway.protocol.rest import MAX_WAIT_S
from gateway.protocol.tus import CHECKSUM_ALGORITHMS

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_BOOLEAN: Schema = {"type": "string", "enum": ["?0", "?1"]}
_METHOD: Schema = {"type": "string", "enum": ["PATCH", "HEAD", "DELETE", "OPTIONS"]}


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One of them."""

    about: str
    schema: Schema


FIELDS: Mapping[str, HeaderField] = {
    "Accept": HeaderField("`image/png` or `image/svg+xml` gets the picture.", _TEXT),
    "Allow": HeaderField("The methods that are there.", _TEXT),
    "Cache-Control": HeaderField("Who may keep it.", _TEXT),
    "Content-Digest": HeaderField("sha-256 or sha-512 of the body (RFC 9530): it is kept whole or not at all.", _TEXT),
    "Content-Disposition": HeaderField("Over the draft: the file's name; it is sealed.", _TEXT),
    "ETag": HeaderField("Of this content.", _TEXT),
    "Idempotency-Key": HeaderField(
        "The same key and the same body get the same upload again.",
        {"type": "string", "minLength": 1, "maxLength": 256},
    ),
    "Location": HeaderField("Absolute; as the client can reach it.", _TEXT),
    "Prefer": HeaderField(f"`wait=N` (RFC 7240): seconds, at most {MAX_WAIT_S}.", _TEXT),
    "Preference-Applied": HeaderField("How long was waited.", _TEXT),
    "Retry-After": HeaderField("Seconds.", _NUMBER),
    "Tus-Checksum-Algorithm": HeaderField("Of `Upload-Checksum`.", _TEXT),
    "Tus-Extension": HeaderField("What of tus is spoken.", _TEXT),
    "Tus-Max-Size": HeaderField("Bytes of one file.", _NUMBER),
    "Tus-Resumable": HeaderField("The version of tus.", {"type": "string", "enum": ["1.0.0"]}),
    "Tus-Version": HeaderField("Versions of tus that are spoken.", _TEXT),
    "Upload-Checksum": HeaderField(
        f"tus: algorithm ({', '.join(CHECKSUM_ALGORITHMS)}), space, digest of the body in base64.", _TEXT
    ),
    "Upload-Complete": HeaderField("Draft: whether the file is complete with this body.", _BOOLEAN),
    "Upload-Concat": HeaderField("tus: `partial`, or `final;` and addresses of parts, spaces between them.", _TEXT),
    "Upload-Defer-Length": HeaderField("tus: the length comes later.", {"type": "string", "enum": ["1"]}),
    "Upload-Draft-Interop-Version": HeaderField("Version of the draft.", _TEXT),
    "Upload-Expires": HeaderField("tus: until when an unfinished file is kept.", _TEXT),
    "Upload-Incomplete": HeaderField("Draft version 3: the opposite of `Upload-Complete`.", _BOOLEAN),
    "Upload-Length": HeaderField("Bytes of the whole file.", _NUMBER),
    "Upload-Limit": HeaderField("Draft: what is taken.", _TEXT),
    "Upload-Metadata": HeaderField("tus: list of key, space, value in base64; sealed.", _TEXT),
    "Upload-Offset": HeaderField("Bytes that are there.", _NUMBER),
    "WWW-Authenticate": HeaderField("RFC 6750.", _TEXT),
    "X-HTTP-Method-Override": HeaderField("The method that is meant, in any case of letters.", _METHOD),
    "X-QR-Id": HeaderField("The code's id.", _TEXT),
    "X-Request-ID": HeaderField("Finds the request in the gateway's log.", _TEXT),
}
