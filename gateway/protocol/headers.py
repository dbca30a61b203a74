"""Header values of tus 1.0.0, read strictly: what isn't exactly right is refused, never guessed."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import Protocol

from gateway.errors import Malformed, TooLarge

TUS_VERSION = "1.0.0"
OFFSET_MEDIA_TYPE = "application/offset+octet-stream"
MAX_METADATA_BYTES = 8 * 1024

_QUALITY = re.compile(r"[01](\.[0-9]{0,3})?")
_NUMBER = re.compile(r"[0-9]{1,18}")
_METADATA_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]+")  # printable ASCII but space and comma


class Headers(Protocol):
    """A multi-valued, case-insensitive mapping of header fields."""

    def getall(self, name: str, default: Sequence[str]) -> Sequence[str]:
        """Every value of the field."""


def single(headers: Headers, name: str) -> str | None:
    """The one value of a field, or None. :raises Malformed: it is there more than once."""
    values = headers.getall(name, ())
    if len(values) > 1:
        raise Malformed(f"{name} is given more than once", code="malformed_header")
    return values[0] if values else None


def number(name: str, value: str) -> int:
    """A non-negative integer of at most 18 digits. `int()` would take `1_0`, `+5` and other alphabets' digits."""
    if not _NUMBER.fullmatch(value):
        raise Malformed(f"{name} is not a non-negative integer", code="malformed_header")
    return int(value)


def optional_number(headers: Headers, name: str) -> int | None:
    """Like `number`, of a field that may be absent."""
    value = single(headers, name)
    return None if value is None else number(name, value)


def parse_metadata(value: str) -> dict[str, bytes]:
    """`Upload-Metadata`: comma list of `key base64`, or of a bare key.

    :raises Malformed: an empty or repeated key, or no base64.
    :raises TooLarge: over `MAX_METADATA_BYTES`.
    """
    if len(value) > MAX_METADATA_BYTES:
        raise TooLarge("Upload-Metadata is too long", code="metadata_too_large")
    pairs: dict[str, bytes] = {}
    if not value.strip():
        return pairs
    for item in value.split(","):
        key, _, encoded = item.strip().partition(" ")
        if not _METADATA_KEY.fullmatch(key) or key in pairs:
            raise Malformed("Upload-Metadata has an empty, odd or repeated key", code="malformed_header")
        try:
            pairs[key] = base64.b64decode(encoded.strip(), validate=True)
        except ValueError:  # binascii.Error, or characters that aren't ASCII
            raise Malformed("Upload-Metadata has a value that isn't base64", code="malformed_header") from None
    return pairs


def text_of(pairs: Mapping[str, bytes], key: str) -> str | None:
    """A metadata value as text, None when absent. :raises Malformed: not UTF-8."""
    if key not in pairs:
        return None
    try:
        return pairs[key].decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("an Upload-Metadata value that we use isn't UTF-8", code="malformed_header") from None


def http_date(at: float) -> str:
    """IMF-fixdate (RFC 9110 5.6.7) of unix seconds."""
    return formatdate(at, usegmt=True)


def preferred(accept: Sequence[str], offered: Sequence[str]) -> str:
    """The media type that `Accept` likes best (RFC 9110 12.5.1); of equals, and where it likes none, the first."""
    ranges: dict[str, float] = {}
    for item in ",".join(accept).split(","):
        wanted, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        ranges[wanted] = float(quality) if _QUALITY.fullmatch(quality) else 0.0

    def liked(media_type: str) -> float:
        names = (media_type, media_type.partition("/")[0] + "/*", "*/*")
        return next((ranges[name] for name in names if name in ranges), 0.0)

    return max(offered, key=liked)
