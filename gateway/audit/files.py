"""The files that the audit trail is exported to: their names, their beginnings, their ends. Blocking.

`audit.file` is the present one; when a month begins (UTC), it is moved to a name with the month of its first event,
and a new one is begun that opens with the former head. Lines are complete and on the disk when a call returns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gateway.errors import Malformed
from gateway.ledger.chain import Head, from_line, opening_line, to_line
from gateway.ledger.rows import AuditRow

#: Longer than any line: how much of a file's end is read to find the last whole one.
TAIL_BYTES = 1 << 20


def month_of(at: float) -> str:
    """`2027-01` of unix seconds; sorts as time does."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def former_files(path: Path) -> list[Path]:
    """The files of past months beside `path`, by name."""
    name = re.compile(re.escape(path.stem) + r"-\d{4}-\d{2}(\.\d+)?" + re.escape(path.suffix))
    if not path.parent.is_dir():
        return []
    return sorted(found for found in path.parent.iterdir() if name.fullmatch(found.name))


def retire(path: Path, month: str) -> Path:
    """Give the present file the name of its month; a second one of that month gets a number. Returns the new path."""
    number, kept = 1, path.with_name(f"{path.stem}-{month}{path.suffix}")
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.stem}-{month}.{number}{path.suffix}")
    path.rename(kept)
    _sync_folder(path)
    return kept


def append(path: Path, rows: Sequence[AuditRow], key: bytes, before: Head) -> bool:
    """Write the events at the file's end. True: the file was begun with them.

    :param before: the head that the first of them follows; a file that is begun opens with it.
    :raises OSError: it can't be written; some of it may have been.
    """
    made = not path.exists()
    if made:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        begun = os.fstat(handle).st_size == 0
        opening = opening_line(key, before) if begun and before[0] else b""
        lines = memoryview(opening + b"".join(to_line(row) for row in rows))
        while lines:
            lines = lines[os.write(handle, lines) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if made:
        _sync_folder(path)
    return begun


def mend(path: Path) -> AuditRow | None:
    """Cut a torn last line off; the event of the last whole line, if there is one that can be read."""
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return None
    with file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        tail = file.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if whole or len(tail) == size:
            file.truncate(size - len(tail) + len(whole))
    return _event(whole.rstrip(b"\n").rpartition(b"\n")[2]) if whole else None


def first_event(path: Path) -> AuditRow | None:
    """The file's first event; None: there is no file, or no event in it that can be read."""
    try:
        with path.open("rb") as file:
            line = file.readline(TAIL_BYTES)
            return _event(file.readline(TAIL_BYTES) if line.startswith(b'{"opening"') else line)
    except FileNotFoundError:
        return None


def last_event(path: Path) -> AuditRow | None:
    """The file's last whole event; None: there is none that can be read."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        tail = file.read()
    return _event(tail[: tail.rfind(b"\n") + 1].rstrip(b"\n").rpartition(b"\n")[2])


def _event(line: bytes) -> AuditRow | None:
    try:
        return from_line(line)
    except Malformed:
        return None


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
