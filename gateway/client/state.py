"""The state file: what has been sent, so that a killed run's successor goes on.

Promises: the file and its folder are the user's alone (0600, 0700); it holds no path, name or value of a patient,
only keyed hashes under a salt of its own; it is replaced whole or not at all; several runs may share it. A refresh
token is on the disk before it is used.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gateway.client.errors import GaveUp, Misused
from gateway.client.parts import Span
from gateway.client.scan import LocalFile
from gateway.clock import Clock

_VERSION = 1
_KEPT_S = 60 * 86400.0
_KEPT_WIDTHS = 64
_SAVE_EVERY_S = 2.0


def default_path() -> Path:
    """Where the XDG Base Directory specification wants state to be.

    :raises Misused: nobody knows where that is.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    try:
        folder = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    except RuntimeError:
        raise Misused("there is no home folder to remember in what was sent: name a file with --state") from None
    return folder / "relaypacs" / "send.json"


@dataclass(slots=True)
class Entry:
    """One upload under way. `done`: keys of files that the gateway has whole."""

    idempotency_key: str
    created_at: float
    upload_id: str = ""
    tus_url: str = ""
    refresh_token: str = field(default="", repr=False)
    done: set[str] = field(default_factory=set)


class StateFile:
    """The file, its lock, and the hashes under its salt. Methods may be called from any thread.

    Locks are byte ranges of a file beside it: byte 0 for the moment of a read or a write, another byte for as long as
    an upload is being sent.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open, or make.

        :raises Misused: it can't be read or written.
        """
        self._path = path
        self._clock = clock
        self._thread_lock = threading.RLock()
        self._mine: dict[str, Entry | None] = {}
        self._widths: dict[str, int] = {}
        self._saved_at = 0.0
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with self._moment():
                content = self._read()
                self._salt = bytes.fromhex(content["salt"])
                self._write(content)
        except OSError:
            raise Misused("the state file can't be used: give another place with --state") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Misused("the state file isn't one of ours, or is damaged: remove it, or give --state") from None

    def close(self) -> None:
        """Give all locks back."""
        os.close(self._lock_fd)

    def file_key(self, file: LocalFile) -> str:
        """Names this content of this file: path, size and time of change."""
        return self._hash("file", os.fsencode(file.path), str(file.size_bytes).encode(), str(file.mtime_ns).encode())

    def set_key(self, files: Iterable[LocalFile], *destination: str) -> str:
        """Names this set of files going to this place."""
        return self._hash(
            "set", *(one.encode() for one in destination), *sorted(self.file_key(f).encode() for f in files)
        )

    def file_id(self, entry: Entry, file: LocalFile) -> str:
        """The file's name towards the gateway: tells nothing, and is the same whenever this upload goes on."""
        return self._hash("id", entry.idempotency_key.encode(), self.file_key(file).encode())

    def part_id(self, entry: Entry, file: LocalFile, span: Span, *, again: bool = False) -> str:
        """Likewise of a part of it: the gateway knows again what it has of a file that is parted in the same way."""
        place = f"{span.start} + {span.size_bytes}{' again' if again else ''}"
        return self._hash("part", self.file_id(entry, file).encode(), place.encode())

    def claim(self, set_key: str) -> Entry:
        """The entry of this set, a new one if there is none; no other run may send it meanwhile.

        :raises GaveUp: another run is sending it just now.
        """
        with self._thread_lock:
            try:
                fcntl.lockf(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte_of(set_key))
            except BlockingIOError:
                raise GaveUp("another `relaypacs send` is sending these files just now: let it finish") from None
            with self._moment():
                kept = self._read()["uploads"].get(set_key)
            entry = Entry(**{**kept, "done": set(kept["done"])}) if kept else self._fresh()
            self._mine[set_key] = entry
            self.save()
            return entry

    def restart(self, set_key: str) -> Entry:
        """Forget how far the set had come."""
        with self._thread_lock:
            entry = self._fresh()
            self._mine[set_key] = entry
            self.save()
            return entry

    def drop(self, set_key: str) -> None:
        """The upload is over: forget it, and let others send the set."""
        with self._thread_lock:
            self._mine[set_key] = None
            self.save()
            self._let_go(set_key)

    def release(self, set_key: str) -> None:
        """Let others send the set; it is remembered."""
        with self._thread_lock:
            self.save()
            self._let_go(set_key)

    def mark_done(self, entry: Entry, file: LocalFile) -> None:
        """The gateway has the file whole. Reaches the disk soon, not at once: to ask again is cheap."""
        with self._thread_lock:
            entry.done.add(self.file_key(file))
            if self._clock.monotonic() - self._saved_at > _SAVE_EVERY_S:
                self.save()

    def width(self, base_url: str) -> int | None:
        """How many requests at once were right for this gateway; None: nobody has kept that."""
        with self._thread_lock, self._moment():
            kept = self._read().get("widths", {}).get(self._hash("gateway", base_url.encode()))
        return kept if isinstance(kept, int) else None

    def keep_width(self, base_url: str, count: int) -> None:
        """For the next run; reaches the disk with what is saved next."""
        with self._thread_lock:
            self._widths[self._hash("gateway", base_url.encode())] = count

    def save(self) -> None:
        """Write what this run knows into the file, beside what others have there.

        :raises Misused: the file can't be written.
        """
        with self._thread_lock:
            try:
                with self._moment():
                    content = self._read()
                    for key, entry in self._mine.items():
                        if entry is None:
                            content["uploads"].pop(key, None)
                        else:
                            content["uploads"][key] = {**asdict(entry), "done": sorted(entry.done)}
                    widths = {**content.get("widths", {}), **self._widths}
                    content["widths"] = dict(list(widths.items())[-_KEPT_WIDTHS:])
                    self._write(content)
            except OSError:
                raise Misused(
                    "the state file can't be written: make room, or give another place with --state"
                ) from None
            self._saved_at = self._clock.monotonic()

    def _fresh(self) -> Entry:
        return Entry(idempotency_key=secrets.token_urlsafe(24), created_at=self._clock.now())

    def _let_go(self, set_key: str) -> None:
        self._mine.pop(set_key, None)  # from here on its entry is whoever's claims it
        fcntl.lockf(self._lock_fd, fcntl.LOCK_UN, 1, _byte_of(set_key))

    @contextlib.contextmanager
    def _moment(self) -> Iterator[None]:
        fcntl.lockf(self._lock_fd, fcntl.LOCK_EX, 1, 0)
        try:
            yield
        finally:
            fcntl.lockf(self._lock_fd, fcntl.LOCK_UN, 1, 0)

    def _read(self) -> dict[str, Any]:
        """What the file has; what nobody went on with for months is left out."""
        try:
            content = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {"version": _VERSION, "salt": secrets.token_hex(32), "uploads": {}}
        if content["version"] != _VERSION:
            raise ValueError("another version")
        oldest = self._clock.now() - _KEPT_S
        content["uploads"] = {key: one for key, one in content["uploads"].items() if one["created_at"] > oldest}
        return dict(content)

    def _write(self, content: dict[str, Any]) -> None:
        fresh = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as out:
                json.dump(content, out)
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(self._path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _hash(self, kind: str, *parts: bytes) -> str:
        mac = hmac.new(self._salt, kind.encode(), hashlib.sha256)
        for part in parts:
            mac.update(len(part).to_bytes(8, "big") + part)
        return base64.urlsafe_b64encode(mac.digest()[:18]).decode()


def _byte_of(set_key: str) -> int:
    """A lock's place; never 0, which is the moment's."""
    return 1 + int.from_bytes(hashlib.sha256(set_key.encode()).digest()[:6], "big")
