"""What the little archive holds: files in a folder, and a catalogue of them beside.

Promises: an instance is on the disk (fdatasync, rename, fsync of its folder) before it is said to be held; there is
one content per SOP Instance UID. Knows DICOM and the file system; must not know HTTP.

The folder is `ROOT/<study>/<series>/<instance>.dcm`, named by UIDs; what is on its way in lies in `ROOT/.incoming`.
"""

from __future__ import annotations

import asyncio
import contextlib
import filecmp
import logging
import os
import re
import secrets
import warnings
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from gateway.demo.catalogue import Catalogue, HeldInstance
from gateway.demo.dicom_json import ALL_TAGS, Attributes, only

#: In the root; it may be deleted while the archive doesn't run.
CATALOGUE = ".catalogue.db"

#: PS3.5 section 9.1, without the ban on leading zeros that real devices break.
UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*")

# Failure reasons of PS3.4 annex B.2.3 and PS3.7 annex C.
DUPLICATE_SOP_INSTANCE = 0x0111
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000


class NotHeld(Exception):
    """The archive refuses an instance. `reason` is the DICOM failure reason; the UIDs are empty if unreadable."""

    def __init__(self, reason: int, sop_class_uid: str = "", sop_instance_uid: str = "") -> None:
        super().__init__(f"0x{reason:04X}")
        self.reason = reason
        self.sop_class_uid = sop_class_uid
        self.sop_instance_uid = sop_instance_uid


class Holdings:
    """The folder and its catalogue.

    `examine`, `same_content` and `settle` touch the disk and belong in a thread.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / ".incoming"
        self._catalogue: Catalogue | None = None

    @property
    def catalogue(self) -> Catalogue:
        """What may be asked for; there from `open` on."""
        assert self._catalogue is not None
        return self._catalogue

    async def open(self) -> None:
        """Make the folder if need be, drop half-received files, bring the catalogue up to what the files are.

        A file that can't be read as DICOM stays where it is and isn't shown.
        """
        # pydicom warns of odd values by quoting them, and they are patients'.
        warnings.filterwarnings("ignore", module=r"pydicom\b")
        logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
        await asyncio.to_thread(self._make_folders)
        self._catalogue = await Catalogue.open(self.root / CATALOGUE)
        known = await self._catalogue.known()
        there = await asyncio.to_thread(self._files)
        await self._catalogue.drop(uids[2] for uids, facts in known.items() if there.get(uids) != facts)
        news = [uids for uids, facts in there.items() if known.get(uids) != facts]
        for study_uid, series_uid, sop_instance_uid in sorted(news, key=lambda uids: there[uids][1]):
            path = self.root / study_uid / series_uid / f"{sop_instance_uid}.dcm"
            with contextlib.suppress(NotHeld):
                instance = await asyncio.to_thread(self.examine, path)
                if self.path_of(instance) == path:
                    await self._catalogue.add(instance)

    async def close(self) -> None:
        """Let go of the catalogue."""
        if self._catalogue is not None:
            await self._catalogue.close()

    def _make_folders(self) -> None:
        self.incoming.mkdir(parents=True, exist_ok=True)
        for leftover in self.incoming.iterdir():
            leftover.unlink()

    def _files(self) -> dict[tuple[str, str, str], tuple[int, float]]:
        """(study, series, instance) by their names -> size and arrival."""
        found = {}
        for path in self.root.glob("[0-9]*/[0-9]*/[0-9]*.dcm"):
            stat = path.stat()
            found[path.parent.parent.name, path.parent.name, path.stem] = stat.st_size, stat.st_mtime
        return found

    def path_of(self, instance: HeldInstance) -> Path:
        """Where it is, or belongs."""
        return self.root / instance.study_uid / instance.series_uid / f"{instance.sop_instance_uid}.dcm"

    def fresh_path(self) -> Path:
        """Where to write what is arriving."""
        return self.incoming / secrets.token_hex(16)

    def examine(self, path: Path) -> HeldInstance:
        """Read the head of a file.

        :raises NotHeld: it isn't an instance that can be filed.
        """
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(ALL_TAGS))
            attributes: Attributes = dataset.to_json_dict(suppress_invalid_tags=True)
            syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        except (
            InvalidDicomError,
            OSError,
            ValueError,
            KeyError,
            AttributeError,
            TypeError,
            NotImplementedError,
        ) as error:
            # whatever a stranger's file makes of pydicom: it says only that the file can't be understood
            raise NotHeld(CANNOT_UNDERSTAND) from error
        attributes.pop("00080005", None)  # JSON is UTF-8 whatever the file was in (PS3.18 F.2)
        uids = [_uid(attributes, tag) for tag in ("0020000D", "0020000E", "00080018", "00080016")]
        study_uid, series_uid, sop_instance_uid, sop_class_uid = uids
        if not all(UID.fullmatch(uid) for uid in uids):
            raise NotHeld(CANNOT_UNDERSTAND, sop_class_uid, sop_instance_uid)
        stat = path.stat()
        return HeldInstance(
            study_uid=study_uid,
            series_uid=series_uid,
            sop_instance_uid=sop_instance_uid,
            sop_class_uid=sop_class_uid,
            transfer_syntax_uid=syntax,
            size_bytes=stat.st_size,
            arrived_at=stat.st_mtime,
            attributes=only(attributes, ALL_TAGS),
        )

    def settle(self, arrived: Path, instance: HeldInstance) -> None:
        """Move what arrived to where it belongs, durably; the caller sees to it that the place is free."""
        path = self.path_of(instance)
        folder = path.parent
        folder.mkdir(parents=True, exist_ok=True)
        arrived.replace(path)
        for directory in (folder, folder.parent, self.root):
            handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def same_content(one: Path, other: Path) -> bool:
    """Byte by byte, a block at a time."""
    return filecmp.cmp(one, other, shallow=False)


def _uid(attributes: Attributes, tag: str) -> str:
    values = attributes.get(tag, {}).get("Value", [])
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""
