"""The first bytes of a file: is it DICOM at all (PS3.10 section 7.1), and is it something else besides?

Pure. The preamble's 128 bytes belong to the application: TIFF headers are its known legal use. A file that also runs
as a program or a script is refused, for it would reach every workstation that opens the study.
"""

from __future__ import annotations

from hooks.checks.dicom_reader import FIRST_WINDOW_BYTES, WINDOW_BYTES, Broken, ReadAt
from hooks.contract import Reject, Skip

PREAMBLE_BYTES = 128
META_START = 132
PREFIX = b"DICM"
STORAGE_ROOT = b"1.2.840.10008.5.1.4.1.1."

#: Windows PE, ELF, shell script, Mach-O (both orders, fat, 32 and 64 bits; Java class files begin like a fat one).
EXECUTABLES = (
    b"MZ", b"\x7fELF", b"#!", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
)  # fmt: skip
#: What a viewer would unpack or render when it goes by content.
CONTAINERS = (b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf", b"MSCF", b"{\\rtf")
MARKUP = (
    b"<html", b"<script", b"<!doctype", b"<?php", b"<?xml", b"<svg", b"<body", b"<iframe", b"<img", b"<object", b"<%",
    b"javascript:", b"%pdf-",
)  # fmt: skip


def judge_preamble(preamble: bytes) -> None:
    """:raises Broken: preamble_executable, preamble_active_content."""
    if preamble.startswith(EXECUTABLES):
        raise Broken("preamble_executable")
    lowered = preamble.lower()
    if preamble.startswith(CONTAINERS) or any(mark in lowered for mark in MARKUP):
        raise Broken("preamble_active_content")


def without_prefix(source: ReadAt) -> Reject | Skip:
    """Verdict on a file that has no DICM where it belongs.

    Broken DICOM is rejected, for an image is missing; what never was DICOM is skipped, whatever its name says.
    """
    if source.size_bytes == 0:
        return Skip("empty_file")
    head = source.read_at(0, min(FIRST_WINDOW_BYTES, source.size_bytes))
    if not any(head) and not any(source.read_at(0, min(WINDOW_BYTES, source.size_bytes))):
        # A copy whose content got lost, not a file that somebody put on a CD.
        return Reject("only_zeros")
    return Reject("no_preamble") if _begins_like_dicom(head, source.size_bytes) else Skip("not_dicom")


def _begins_like_dicom(head: bytes, size_bytes: int) -> bool:
    """File meta or a data set at the very beginning, the prefix without its preamble, or a storage class nearby."""
    if head.startswith((PREFIX, b"\x02\x00\x00\x00UL", b"\x02\x00\x01\x00OB", b"\x02\x00\x02\x00UI")):
        return True
    if len(head) < 8:
        return False
    if STORAGE_ROOT in head[:1024] and b"\0" in head[:1024] and not head.startswith((*EXECUTABLES, *CONTAINERS)):
        return True
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    if head[:2] == b"\x08\x00" and head[3] == 0:
        return explicit or int.from_bytes(head[4:8], "little") <= min(size_bytes - 8, 1024)
    return head[:3] == b"\x00\x08\x00" and explicit
