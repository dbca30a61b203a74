"""What the gateway says on stderr: lines of text, or one JSON object each for log collectors.

Promises: routes as templates, ids of ours, codes and counts; no URL, no name, no value that a client sent. Messages are
written as `key=value` words; in JSON they are members. Of a failure nobody foresaw the stack is told, never its words.

Lines of everyday are written some twenty times a second, all that came since by one call; a warning, and what came before
it, at once.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
import traceback
from collections import deque
from contextlib import suppress
from typing import TextIO

from gateway.clock import rfc3339

_WORD = re.compile(r"(?:^|(?<=\s))([a-z_][a-z0-9_]*)=(\S*)")
OURS = "relaypacs"
TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
STDERR = 2
#: How long a line waits for company.
WRITE_EVERY_S = 0.05
#: So many lines aren't kept waiting: where nobody reads them, whoever logs waits too.
MOST_WAITING = 1000


def log_to_stderr(form: str = "text", level: str = "info") -> None:
    """Begin to log. :param form: `text` or `json`. :param level: the least that is said."""
    handler = DiscreetGroups(STDERR)
    handler.setFormatter(JsonLines() if form == "json" else TextLines(TEXT))
    # Nobody asks which of our threads and tasks spoke; each record would look it up.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(handlers=[handler], level=level.upper())
    for name, logger in logging.root.manager.loggerDict.items():
        if _is_ours(name) and isinstance(logger, logging.Logger):
            logger.__class__ = PlaceLess


class PlaceLess(logging.Logger):
    """A logger of ours: no line says where in the code it was written, and to look for that took longer than the line."""

    def findCaller(self, stack_info: bool = False, stacklevel: int = 1) -> tuple[str, int, str, str | None]:  # noqa: ARG002, N802 # logging's own
        """As logging has it where nobody knows."""
        return "(unknown file)", 0, "(unknown function)", None


class Discreet(logging.StreamHandler[TextIO]):
    """Writes our own records; of a library's it withholds the words."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        super().emit(_discreet(record))


class DiscreetGroups(logging.Handler):
    """The same, by a thread of its own: each call to the system lets other threads have Python's lock, and a line for each
    request cost as much as the request's own answer.

    :param handle: where to; it stays open.
    """

    def __init__(self, handle: int) -> None:
        super().__init__()
        self._handle = handle
        self._waiting: deque[str] = deque()
        self._due = threading.Event()
        self._writing = threading.Lock()  #: lines stay in order; never held by who needs the handler's lock
        self._thread: threading.Thread | None = None
        self._ended = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write it soon."""
        try:
            self._waiting.append(self.format(_discreet(record)) + "\n")
        except Exception:  # noqa: BLE001 # as every handler: a line that can't be said must not break what it is about
            self.handleError(record)
            return
        if record.levelno >= logging.WARNING or len(self._waiting) >= MOST_WAITING:
            self.flush()
        elif not self._due.is_set():
            self._due.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write what waits. Whatever ends the process in an orderly way does it, too."""
        with self._writing:
            lines: list[str] = []
            with suppress(IndexError):
                while True:
                    lines.append(self._waiting.popleft())
            left = memoryview("".join(lines).encode("utf-8", "backslashreplace"))
            with suppress(OSError):  # nobody hears us
                while left:
                    left = left[os.write(self._handle, left) :]

    def close(self) -> None:
        """Write what waits, and nothing more."""
        self.flush()
        self._ended = True
        self._due.set()
        super().close()

    def _run(self) -> None:
        while self._due.wait() and not self._ended:
            time.sleep(WRITE_EVERY_S)  # what comes until then is written with it
            self._due.clear()
            if not self._ended:
                self.flush()


class TextLines(logging.Formatter):
    """A record as a line of text. The second is put into words once for all that fall into it."""

    _second = (0, "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 # logging's own
        """As logging does it: local time, and milliseconds behind a comma."""
        second = int(record.created)
        if self._second[0] != second:
            self._second = second, time.strftime(self.default_time_format, self.converter(second))
        return f"{self._second[1]},{int(record.msecs):03}"


def _discreet(record: logging.LogRecord) -> logging.LogRecord:
    """Libraries quote addresses and values: of theirs only who spoke, how loud and from where is told."""
    if _is_ours(record.name):
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


def _is_ours(name: str) -> bool:
    return name == OURS or name.startswith(f"{OURS}.")


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
