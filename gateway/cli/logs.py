"""What the gateway says on stderr: lines of text, or one JSON object each for log collectors.

Promises: routes as templates, ids of ours, codes and counts; no URL, no name, no value that a client sent. Messages are
written as `key=value` words; in JSON they are members. Of a failure nobody foresaw the stack is told, never its words.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from typing import TextIO

from gateway.clock import rfc3339

_WORD = re.compile(r"(?:^|(?<=\s))([a-z_][a-z0-9_]*)=(\S*)")
OURS = "relaypacs"
TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def log_to_stderr(form: str = "text", level: str = "info") -> None:
    """Begin to log. :param form: `text` or `json`. :param level: the least that is said."""
    handler = Discreet(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(TEXT))
    logging.basicConfig(handlers=[handler], level=level.upper())


class Discreet(logging.StreamHandler[TextIO]):
    """Writes our own records; of a library's it withholds the words."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        super().emit(_discreet(record))


def _discreet(record: logging.LogRecord) -> logging.LogRecord:
    """Libraries quote addresses and values: of theirs only who spoke, how loud and from where is told."""
    if record.name == OURS or record.name.startswith(f"{OURS}."):
        return record
    told = logging.LogRecord(
        record.name,
        record.levelno,
        record.pathname,
        record.lineno,
        "a library's message is withheld code=library_message file=%s line=%d error=%s",
        (record.filename, record.lineno, _kind(record)),
        None,
    )
    told.created, told.msecs = record.created, record.msecs
    return told


def _kind(record: logging.LogRecord) -> str:
    kind = record.exc_info[0] if record.exc_info else None
    return "-" if kind is None else kind.__name__


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """`at`, `level`, `logger`, `message`, and each `key=value` word of the message as a member."""
        message = record.getMessage()
        said: dict[str, object] = {
            "at": f"{rfc3339(record.created)[:-1]}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        for name, value in _WORD.findall(message):
            said.setdefault(name, int(value) if value.isascii() and value.isdigit() and len(value) < 16 else value)
        said["message"] = _WORD.sub("", message).strip() or "request"
        if record.exc_info and record.exc_info[2] is not None:
            said["stack"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
