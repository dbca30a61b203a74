"""Lets a `serve` die by SIGKILL at a named line, as often as a test tells it to; the product knows nothing of it.

Python imports this module by itself where its folder is on PYTHONPATH. `KILL_POINTS` in the environment names a file;
while that says `NAME N`, the N-th passage of the point NAME from then on is the process's last. Where it isn't there,
every passage costs one look for it.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Point -> module, name in it, whether it is passed before or after the call.
POINTS: dict[str, tuple[str, str, str]] = {
    "segment row, no blob": ("gateway.blobs.local", "LocalBlobs.create", "before"),
    "mid-body, alone": ("gateway.spool.segments", "SegmentWriter.append", "after"),
    "written, not synced, alone": ("gateway.spool.segments", "SegmentWriter.sync", "before"),
    "synced, no row, alone": ("gateway.spool.segments", "SegmentWriter.sync", "after"),
    "mid-body": ("gateway.spool.shared", "SharedWriter.append", "after"),
    "written, not synced": ("gateway.spool.shared", "SharedSegment.sync", "before"),
    "synced, no row": ("gateway.spool.shared", "SharedSegment.sync", "after"),
    "row, no job": ("gateway.uploads.completion", "new_job", "before"),
    "rows of a group written, no commit": ("gateway.ledger.sqlite.writer", "Writer._write_all", "after"),
    "committed, not told": ("gateway.ledger.sqlite.writer", "Writer._commit", "after"),
    "job, no commit": ("gateway.uploads.completion", "new_job", "after"),
    "mid-STOW": ("hooks.targets.stow_body", "StowBody.read", "after"),
    "sent, not answered": ("hooks.targets.stow", "outcomes", "before"),
    "answered, not recorded": ("hooks.targets.stow", "DicomWebTarget.deliver", "after"),
    "recorded, no receipt": ("gateway.delivery.deliver", "finish", "before"),
    "receipt, no purge": ("gateway.purge.erasure", "Erasure.erase_upload", "before"),
    "keys gone, bytes there": ("gateway.spool", "Spool.delete", "before"),
    "bytes gone, rows there": ("gateway.spool", "Spool.delete", "after"),
    "keys gone, entries there": ("gateway.spool", "Spool.punch", "before"),
    "entries gone, rows there": ("gateway.spool", "Spool.punch", "after"),
}
#: Those of a spool whose disk has no holes, in which entries are copied elsewhere instead.
COPYING = {
    "segment row, no copy": ("gateway.spool", "Spool.copy_entries", "before"),
    "copied, no rows": ("gateway.spool", "Spool.copy_entries", "after"),
    "some rows moved, no commit": ("gateway.uploads.compaction", "_move_rows", "after"),
    "rows moved, former segment there": ("gateway.spool", "Spool.delete", "before"),
}

_seen: dict[str, int] = {}


def passed(name: str, orders: Path) -> None:
    """Count, and die if it is time."""
    try:
        wanted, _, number = orders.read_text().rpartition(" ")
    except FileNotFoundError:
        return
    if wanted == name:
        _seen[name] = _seen.get(name, 0) + 1
        if _seen[name] >= int(number):
            os.kill(os.getpid(), signal.SIGKILL)


def plant(name: str, orders: Path) -> None:
    """Put the point into the module's code."""
    module, path, when = (POINTS | COPYING)[name]
    holder: Any = importlib.import_module(module)
    *above, last = path.split(".")
    for one in above:
        holder = getattr(holder, one)
    call: Callable[..., Any] = getattr(holder, last)

    @functools.wraps(call)
    def watched(*values: Any, **named: Any) -> Any:
        if when == "before":
            passed(name, orders)
        result = call(*values, **named)
        if when == "after":
            passed(name, orders)
        return result

    setattr(holder, last, watched)


def _no_sync() -> None:
    """The gateway's own fsyncs do nothing: a power-loss test that sees no difference is worth nothing."""
    for name in ("fdatasync", "fsync"):
        setattr(os, name, lambda _handle: None)


def _late_sync() -> None:
    """The gateway's own fsyncs come half a second after whoever asked for them goes on."""

    def late(sync: Callable[[int], None], handle: int) -> None:
        sync(handle)
        os.close(handle)

    for name in ("fdatasync", "fsync"):
        sync = getattr(os, name)
        setattr(os, name, lambda handle, sync=sync: threading.Timer(0.5, late, (sync, os.dup(handle))).start())


def _early_answers() -> None:
    """Whoever waits for the commit of an append's rows goes on before it."""
    writer: Any = importlib.import_module("gateway.ledger.sqlite.writer")
    resolve, perform, write_all = writer.resolve, writer.Writer._perform, writer.Writer._write_all

    def resolve_once(done: Any, result: Any, error: BaseException | None) -> None:
        if not done.done():
            resolve(done, result, error)

    def performed(self: Any, act: Any, *, alone: bool) -> None:
        perform(self, act, alone=alone)
        if isinstance(act.result, tuple) and hasattr(act.result[0], "file"):
            self._tell(resolve_once, act.done, act.result, None)

    def written(self: Any) -> None:
        write_all(self)
        time.sleep(0.05)

    writer.resolve, writer.Writer._perform, writer.Writer._write_all = resolve_once, performed, written


def _no_holes() -> None:
    """What nobody can read any more stays where it is."""
    importlib.import_module("gateway.blobs.local").LocalBlobs.punch = lambda *_which: False


if "serve" in sys.orig_argv:
    if "KILL_POINTS" in os.environ:
        for point in POINTS | COPYING:
            plant(point, Path(os.environ["KILL_POINTS"]))
    for wrong in (_no_sync, _late_sync, _early_answers, _no_holes):
        if wrong.__name__.strip("_").upper() in os.environ:
            wrong()
