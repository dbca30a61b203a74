"""How much has moved, and how that looks. Shows numbers only: no names, no paths.

On a terminal a bar on one line, elsewhere a line now and then.
"""

from __future__ import annotations

import shutil
import threading
from collections import deque
from types import TracebackType
from typing import Self, TextIO

from gateway.clock import Clock

_BAR_EVERY_S = 0.2
_LINE_EVERY_S = 10.0
_RATE_OVER_S = 15.0


class Meter:
    """Counts bytes per file, so that what a broken connection lost is taken back. For all threads.

    :param total_bytes: of all files of this run.
    :param total_files: likewise.
    """

    def __init__(self, total_bytes: int, total_files: int, clock: Clock) -> None:
        self.total_bytes = total_bytes
        self.total_files = total_files
        self._clock = clock
        self._lock = threading.Lock()
        self._at: dict[str, int] = {}
        self._bytes = 0
        self._files = 0
        self._resumed = 0
        self._samples: deque[tuple[float, int]] = deque([(clock.monotonic(), 0)])

    def at(self, file_key: str, offset: int) -> None:
        """The file has come as far as `offset`."""
        with self._lock:
            self._bytes += offset - self._at.get(file_key, 0)
            self._at[file_key] = offset

    def done(self, file_key: str, size_bytes: int, *, before: bool = False) -> None:
        """The file is whole; `before`: an earlier run did that, it says nothing of the rate."""
        with self._lock:
            self._bytes += size_bytes - self._at.pop(file_key, 0)
            self._files += 1
            if before:
                self._resumed += size_bytes

    @property
    def moved_bytes(self) -> int:
        """Of all files; less than before where a cut took some of them."""
        with self._lock:
            return self._bytes

    def line(self, width: int = 0) -> str:
        """The present standing, as a bar of `width` columns, or in words."""
        with self._lock:
            moved, files = self._bytes, self._files
            rate = self._rate(self._clock.monotonic(), moved - self._resumed)
        share = min(1.0, moved / self.total_bytes) if self.total_bytes else 1.0
        percent = f"{int(share * 100)} %"
        left = f"{_span(int((self.total_bytes - moved) / rate))} left" if rate > 0 else "…"
        amount = f"{size_words(moved)} of {size_words(self.total_bytes)}"
        words = f"{percent}  {amount}  {size_words(int(rate))}/s  {left}  {files}/{self.total_files} files"
        room = width - len(words) - 6
        if room < 10:
            return words[: width - 1] if width else words
        full = int(share * room)
        return f"[{'#' * full}{'-' * (room - full)}] {words}"

    def _rate(self, now: float, moved: int) -> float:
        """Bytes per second over the last while."""
        self._samples.append((now, moved))
        while len(self._samples) > 2 and self._samples[0][0] < now - _RATE_OVER_S:
            self._samples.popleft()
        (then, before), (_, after) = self._samples[0], self._samples[-1]
        return max(0.0, (after - before) / (now - then)) if now > then else 0.0


class Display:
    """Shows a meter while a `with` lasts.

    :param out: a terminal gets a bar, anything else lines.
    """

    def __init__(self, meter: Meter, out: TextIO, *, quiet: bool) -> None:
        self._meter = meter
        self._out = out
        self._quiet = quiet
        self._bar = not quiet and out.isatty()
        self._end = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="display", daemon=True)

    def __enter__(self) -> Self:
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if not self._quiet:
            self._thread.join()
            self._clear()

    def say(self, line: str) -> None:
        """A line of its own, above the bar; also when quiet."""
        with self._writing:
            if self._bar:
                self._out.write("\r\x1b[K")
            self._out.write(line + "\n")
            self._out.flush()

    def _run(self) -> None:
        while not self._end.wait(_BAR_EVERY_S if self._bar else _LINE_EVERY_S):
            with self._writing:
                if self._bar:
                    self._out.write("\r" + self._meter.line(shutil.get_terminal_size().columns) + "\x1b[K")
                else:
                    self._out.write(self._meter.line() + "\n")
                self._out.flush()

    def _clear(self) -> None:
        if self._bar:
            with self._writing:
                self._out.write("\r\x1b[K")
                self._out.flush()


def size_words(size_bytes: int) -> str:
    """Three digits and a unit, in powers of 1024."""
    amount, units = float(size_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if units[0] == "B" or amount >= 100 else f"{amount:.3g} {units[0]}"


def _span(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
