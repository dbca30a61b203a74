"""Messages between a check and its child process over a stream socket. Pure framing; both sides use it.

Parent to child: `ASK` begins a file: size and level as a line of JSON, then the file's beginning, which every file is
asked for; `BYTES` answers a `READ`. Child to parent: `READ` (offset, size) any number of times, then one `VERDICT`
(JSON). The parent may ask about several files before it hears of the first: they are judged in order, and a `READ` is of
the first that has no verdict. A message is a byte of kind, a four-byte length and so many bytes.
"""

from __future__ import annotations

import json
import struct
from dataclasses import fields
from typing import Any

from hooks.checks.dicom_reader import FIRST_WINDOW_BYTES
from hooks.contract import Accept, Facts, Reject, Skip, Verdict

HEAD = struct.Struct(">cI")
READ = struct.Struct(">QI")

ASK, BYTES, READ_KIND, VERDICT = b"A", b"B", b"R", b"V"

MAX_READ_BYTES = 2**20
MAX_VERDICT_BYTES = 64 * 1024
#: What of a file goes with the question.
BEGINNING_BYTES = FIRST_WINDOW_BYTES

_FACTS = tuple(field.name for field in fields(Facts))


class BadMessage(Exception):
    """The other side doesn't speak this protocol (any more)."""


def frame(kind: bytes, payload: bytes) -> bytes:
    """A message as bytes."""
    return HEAD.pack(kind, len(payload)) + payload


def unframed(gathered: bytearray, most_bytes: int) -> tuple[bytes, bytes] | None:
    """Take the first message out of what came; None: it isn't there in full.

    :raises BadMessage: it is longer than `most_bytes`.
    """
    if len(gathered) < HEAD.size:
        return None
    kind, size = HEAD.unpack_from(gathered)
    if size > most_bytes:
        raise BadMessage
    end = HEAD.size + size
    if len(gathered) < end:
        return None
    payload = bytes(memoryview(gathered)[HEAD.size : end])
    del gathered[:end]
    return kind, payload


def dump_verdict(verdict: Verdict) -> bytes:
    """A verdict as JSON."""
    value: dict[str, Any] = {"kind": type(verdict).__name__}
    if isinstance(verdict, Accept):
        value |= {"facts": {name: getattr(verdict.facts, name) for name in _FACTS}, "warnings": verdict.warnings}
    else:
        value["code"] = verdict.code
    return json.dumps(value).encode()


def load_verdict(payload: bytes) -> Verdict:
    """The verdict of a `VERDICT` message. :raises BadMessage: the child sent something else."""
    try:
        value = json.loads(payload)
        match value:
            case {"kind": "Accept", "facts": dict(facts), "warnings": list(warnings)}:
                return Accept(Facts(**_texts(facts)), tuple(_texts(dict.fromkeys(warnings, "")).keys()))
            case {"kind": "Skip", "code": str(code)}:
                return Skip(code)
            case {"kind": "Reject", "code": str(code)}:
                return Reject(code)
    except (ValueError, TypeError, RecursionError):
        raise BadMessage from None
    raise BadMessage


def _texts(value: dict[Any, Any]) -> dict[str, str]:
    if not all(isinstance(key, str) and isinstance(text, str) for key, text in value.items()):
        raise TypeError
    return value
