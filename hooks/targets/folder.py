"""A folder that takes instances as files: an inbox of another program, a file share, a disk.

Promises: a file has its name only when all of it is on the disk, and was read back; what is there is never overwritten;
the name is durable before the outcome is told. Another program may take files away as soon as they have their names.
Must not know storage or uploads.

Until then the bytes lie in `.relaypacs` below the folder, which nobody else can read. What a crash left there is taken
away an hour later.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from hooks.contract import (
    Comparison,
    Instance,
    LookupRefused,
    Outcome,
    OutcomeKind,
    PatientRecord,
    SourceBroke,
    Stopped,
    TargetDown,
    TargetError,
    TargetMisconfigured,
)
from hooks.layout import check_layout, place_of
from hooks.targets.comparison import PIECE_BYTES, compared
from hooks.targets.data_set_digest import digests_of

#: Where files are until they are whole.
UNFINISHED = ".relaypacs"
#: After so long nobody writes a file any more that is still there.
ABANDONED_AFTER_S = 3600.0
FILE_MODE, FOLDER_MODE = 0o640, 0o750

#: A person has to mend these; of the rest one may hope that they pass.
_CONFIGURATION = {
    errno.EACCES: "folder_denied",
    errno.EPERM: "folder_denied",
    errno.ENOENT: "folder_missing",
    errno.ENOTDIR: "folder_missing",
    errno.EROFS: "folder_read_only",
    errno.ENAMETOOLONG: "folder_name_too_long",
    errno.EILSEQ: "folder_name_refused",
    errno.EINVAL: "folder_name_refused",
    errno.ELOOP: "folder_link",
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
#: A file system that has no second names.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class FolderTarget:
    """Implements `Target`. Of what is there it answers for one place at a time: there are no queries.

    :param folder: must be there: a share that isn't mounted is told from an empty one.
    :param layout: see `hooks.layout`.
    :param read_back: each file is read before it gets its name, and compared.
    :raises ValueError: the layout isn't one.
    """

    def __init__(self, folder: Path, layout: str, *, read_back: bool = True) -> None:
        check_layout(layout)
        self._folder = folder
        self._layout = layout
        self._read_back = read_back
        self._naming = threading.Lock()
        self._swept = False

    def present(self, study_instance_uid: str, series_instance_uids: Iterable[str]) -> dict[str, str]:  # noqa: ARG002 - what every target is asked by
        raise LookupRefused("no_queries")

    def present_of(self, study_instance_uid: str, instances: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002 - what every target is asked by
        raise LookupRefused("no_queries")

    def shows(self, sop_instance_uid: str) -> bool:  # noqa: ARG002 - what every target is asked by
        raise LookupRefused("no_queries")

    def patients(
        self,
        *,
        patient_id: str = "",  # noqa: ARG002 - what every target is asked by
        accession_number: str = "",  # noqa: ARG002 - what every target is asked by
        study_instance_uid: str = "",  # noqa: ARG002 - what every target is asked by
    ) -> list[PatientRecord]:
        raise LookupRefused("no_queries")

    def compare(self, instance: Instance) -> Comparison:
        try:
            with _codes_for_errors(), self._reading(instance) as pieces:
                theirs = digests_of(pieces)
        except TargetMisconfigured as error:
            if error.code != "folder_missing":
                raise
            return Comparison.UNAVAILABLE  # taken away in the meantime
        return compared(instance, theirs)

    def deliver(self, batch: Sequence[Instance], stop: Callable[[], bool]) -> dict[str, Outcome]:
        if len({instance.sop_instance_uid for instance in batch}) != len(batch):
            raise ValueError("a SOPInstanceUID is in the batch twice")
        outcomes: dict[str, Outcome] = {}
        for instance in batch:
            try:
                outcomes[instance.instance_id] = self._store(instance, stop)
            except (TargetError, SourceBroke):
                # What has its name is told; the rest is asked for again, and says by itself what is wrong.
                if not outcomes:
                    raise
                break
        return {one.instance_id: outcomes.get(one.instance_id, Outcome(OutcomeKind.UNKNOWN)) for one in batch}

    def probe(self) -> str:
        with _codes_for_errors():
            if not stat.S_ISDIR(self._folder.stat().st_mode):
                raise TargetMisconfigured("folder_missing")
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise TargetMisconfigured("folder_denied")
            if os.statvfs(self._folder).f_flag & os.ST_RDONLY:
                raise TargetMisconfigured("folder_read_only")
            free_bytes = shutil.disk_usage(self._folder).free
        return f"it can be written, {free_bytes >> 20} MiB free; it can't be asked who a patient is"

    def close(self) -> None:
        """Nothing is held."""

    # --

    def _store(self, instance: Instance, stop: Callable[[], bool]) -> Outcome:
        with _codes_for_errors():
            self._sweep()
            place = self._place(instance)
            if os.path.lexists(place):
                return Outcome(OutcomeKind.DUPLICATE)
            unfinished = self._unfinished() / secrets.token_hex(16)
            try:
                _write(unfinished, instance, stop)
                if self._read_back and _digest(unfinished) != instance.sha256:
                    raise TargetDown("folder_reads_otherwise")
                self._make_folders(place.parent)
                if not self._name(unfinished, place):
                    return Outcome(OutcomeKind.DUPLICATE)
            finally:
                unfinished.unlink(missing_ok=True)
            _sync_folder(place.parent)
        return Outcome(OutcomeKind.STORED, compared=self._read_back)

    def _place(self, instance: Instance) -> Path:
        return self._folder.joinpath(*place_of(self._layout, partial(getattr, instance.facts)))

    def _unfinished(self) -> Path:
        folder = self._folder / UNFINISHED
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        return folder

    def _sweep(self) -> None:
        """Once: what a process that died has left."""
        if self._swept:
            return
        old = time.time() - ABANDONED_AFTER_S
        for path in self._unfinished().iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_mtime < old:
                    path.unlink()
        self._swept = True

    def _make_folders(self, folder: Path) -> None:
        """Those that aren't there yet, durably. The endpoint's own is never made."""
        if folder == self._folder or folder.is_dir():
            return
        self._make_folders(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            with contextlib.suppress(PermissionError):  # a share without modes
                # A group that is inherited stays.
                folder.chmod(stat.S_IMODE(folder.stat().st_mode) & ~0o777 | FOLDER_MODE)
        _sync_folder(folder.parent)

    def _name(self, unfinished: Path, place: Path) -> bool:
        """Give it its name. False: something has that name."""
        try:
            os.link(unfinished, place)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            return True
        with self._naming:  # no link to be had: nobody of ours comes in between
            if os.path.lexists(place):
                return False
            unfinished.rename(place)
            return True

    @contextlib.contextmanager
    def _reading(self, instance: Instance) -> Iterator[Iterator[bytes]]:
        handle = os.open(self._place(instance), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb", buffering=0) as file:
            yield iter(lambda: file.read(PIECE_BYTES), b"")


def _write(path: Path, instance: Instance, stop: Callable[[], bool]) -> None:
    """All of it, on the disk. :raises Stopped, SourceBroke: see `Target.deliver`."""
    source = instance.open()
    try:
        if source.size_bytes != instance.size_bytes:
            raise SourceBroke(instance.instance_id)
        with _created(path) as handle:
            for offset in range(0, instance.size_bytes, PIECE_BYTES):
                if stop():
                    raise Stopped
                wanted = min(PIECE_BYTES, instance.size_bytes - offset)
                piece = source.read_at(offset, wanted)
                if len(piece) != wanted:
                    raise SourceBroke(instance.instance_id)
                _write_all(handle, piece)
            with contextlib.suppress(PermissionError):  # a share without modes
                os.fchmod(handle, FILE_MODE)
            os.fsync(handle)
    finally:
        source.close()


@contextlib.contextmanager
def _created(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _write_all(handle: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(handle, left) :]


def _digest(path: Path) -> str:
    """SHA-256 of what the disk has, not of what memory remembers, as far as the kernel lets go of that."""
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := file.read(PIECE_BYTES):
            found.update(piece)
    return found.hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some shares can't, and do it by themselves
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def _codes_for_errors() -> Iterator[None]:
    """Paths name patients: none of them gets out."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        if number in _CONFIGURATION:
            raise TargetMisconfigured(_CONFIGURATION[number]) from None
        raise TargetDown("folder_full" if number in _FULL else "folder_failed") from None
