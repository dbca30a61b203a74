"""The link of a QR code, as people hand it on: with what mail and messengers put around it and into it.

The app reads the same links; `tests/vectors/qr_links.json` holds both to one meaning.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from gateway.client.errors import Misused

_MARK = "#qr="
#: A true link has about 200 characters; a mail may be pasted whole.
_MOST_CHARS = 64 * 1024
#: A soft line break of quoted-printable, or a line break with the marks of a quoted mail.
_BREAK = re.compile(r"=?[\r\n]+[ \t>|]*")
_PACKED = re.compile(r"[A-Za-z0-9_-]+")
_ADDRESS = re.compile(r"https?://[^\s<>\"'()\[\]{}#]*\Z")


@dataclass(frozen=True, slots=True)
class Link:
    """What a QR code opens. `base_url`: empty where only the fragment was given."""

    base_url: str
    endpoint_id: str
    upload_token: str = field(repr=False)


def read_link(text: str) -> Link:
    """The link inside `text`.

    :raises Misused: there is none.
    """
    for dressed in _undressed(text[:_MOST_CHARS]):
        before, mark, behind = dressed.partition(_MARK)
        session = _session(behind) if mark else None
        if session is None:
            continue
        token, endpoint_id = session.get("upload_token"), session.get("endpoint_id")
        if isinstance(token, str) and isinstance(endpoint_id, str):
            return Link(_address(before), endpoint_id, token)
    raise Misused("--qr must be the whole link that the QR code holds, with what is behind its #")


def _undressed(text: str) -> Iterator[str]:
    """The text as it is, and as it was before a mail program escaped it."""
    joined = _BREAK.sub("", text)
    yield joined
    yield html.unescape(joined)
    yield joined.replace("=3D", "=")
    yield unquote(joined)


def _session(behind: str) -> dict[str, Any] | None:
    """The JSON object that `behind` begins with; words that follow it, a full stop or a bracket are left alone."""
    found = _PACKED.match(re.sub(r"\s+(?=\S)", "", behind))
    if found is None:
        return None
    packed = found[0]
    packed = packed[: len(packed) - 1] if len(packed) % 4 == 1 else packed
    try:
        unpacked = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        value, _ = json.JSONDecoder().raw_decode(unpacked.decode("utf-8", "replace"))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _address(before: str) -> str:
    """The gateway's address that `before` ends with, or nothing."""
    found = _ADDRESS.search(before[max(0, before.rfind("http")) :])
    if found is None:
        return ""
    parts = urlsplit(found[0])
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
