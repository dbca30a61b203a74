"""What a backup looks like on a disk, and how files get there and back: written whole and synced, or not at all.

`backup.json` is written last: a folder without it is no backup. The bytes in it are sealed as they are in the spool, and
the ledger's secrets are wrapped by the master keys, which are not in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from gateway.errors import ConfigError
from gateway.owners import leave_to_owner, why_not

LEDGER = "relaypacs.db"
SPOOL = "spool"
AUDIT = "audit"
MANIFEST = "backup.json"
MARKS = "spool_id"
_FORMAT = 1
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. `audit_head`: number of the trail's last event in it; `keys`: master keys it needs."""

    made_at: str
    version: str
    audit_head: int
    keys: tuple[str, ...]
    uploads: int
    blobs: int
    size_bytes: int


def begin(folder: Path) -> None:
    """Make the folder, or take it if it is empty. :raises ConfigError: it can't be used."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder} isn't empty: name a new folder for each backup")
        folder.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"{folder} can't be used ({why_not(folder, error)})") from None


def finish(folder: Path, manifest: Manifest) -> None:
    """From here on it is a backup."""
    text = json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=2) + "\n"
    path = folder / MANIFEST
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def read(folder: Path) -> Manifest:
    """What it says of itself. :raises ConfigError: it is no whole backup, or a newer release's."""
    try:
        said = json.loads((folder / MANIFEST).read_bytes())
        if said.pop("format") != _FORMAT:
            raise ConfigError(f"{folder} was made by a newer release: restore it with that one")
        return Manifest(**{**said, "keys": tuple(said["keys"])})
    except OSError as error:
        raise ConfigError(f"{folder} is no whole backup: {MANIFEST} can't be read ({why_not(folder, error)})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{folder} is no backup: its {MANIFEST} can't be read") from None


def blobs_below(folder: Path) -> Iterator[Path]:
    """Every blob of a spool, by its shards."""
    for shard in sorted(folder.iterdir()) if folder.is_dir() else ():
        if shard.is_dir() and len(shard.name) == 2:
            yield from sorted(shard.iterdir())


def copy_blobs(source: Path, target: Path) -> tuple[int, int]:
    """Copy every blob that is still there. Returns how many, and their bytes."""
    target.mkdir(mode=0o700, exist_ok=True)
    leave_to_owner(target)
    count, size_bytes, shards = 0, 0, set()
    for blob in blobs_below(source):
        shard = target / blob.parent.name
        if shard not in shards:
            shard.mkdir(mode=0o700, exist_ok=True)
            leave_to_owner(shard)
            shards.add(shard)
        try:
            size_bytes += copy_file(blob, shard / blob.name)
        except FileNotFoundError:
            continue  # its client took the file out just now
        count += 1
    for shard in (*shards, target, target.parent):
        sync_folder(shard)
    _copy_marks(source / MARKS, target / MARKS)
    return count, size_bytes


def _copy_marks(source: Path, target: Path) -> None:
    """Whose spool it is: a folder with a folder for each mark (`gateway/blobs/local.py`)."""
    for mark in source.iterdir() if source.is_dir() else ():
        for folder in (target, target / mark.name):
            folder.mkdir(mode=0o700, exist_ok=True)
            leave_to_owner(folder)
            sync_folder(folder.parent)


def copy_file(source: Path, target: Path, most_bytes: int | None = None) -> int:
    """Copy and sync one file, its first `most_bytes`. Returns how many bytes. :raises OSError: it can't be done."""
    with (
        source.open("rb") as original,
        os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as copy,
    ):
        if most_bytes is None:
            size = _copy_sparse(original, copy)
        else:
            size = copy.write(original.read(most_bytes))
        copy.flush()
        os.fsync(copy.fileno())
    leave_to_owner(target)
    return size


def _copy_sparse(original: BinaryIO, copy: BinaryIO) -> int:
    """Holes stay holes: what was erased takes no room in the copy either."""
    size = 0
    while piece := original.read(_PIECE_BYTES):
        if piece.count(0) == len(piece):
            copy.seek(len(piece), os.SEEK_CUR)
        else:
            copy.write(piece)
        size += len(piece)
    copy.truncate(size)
    return size


def sync_folder(folder: Path) -> None:
    """Make names in it durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
