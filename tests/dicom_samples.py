"""Small synthetic DICOM files, valid and hostile, made in code: no patient ever had these values.

`instance()` makes a valid file, `study()` several of one study; `HOSTILE` has files that must be judged, with the
verdict they must get (`docs/validation.md`). `BytesSource` and `as_instance` turn bytes into what hooks take.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
import zlib
from collections.abc import Sequence
from typing import Any

from hooks.checks.scanner import scan
from hooks.contract import Accept, Instance

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
EXPLICIT_BE = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"
DICOMDIR = "1.2.840.10008.1.3.10"

ITEM, ITEM_END, SEQUENCE_END = (struct.pack("<HH", 0xFFFE, number) for number in (0xE000, 0xE00D, 0xE0DD))
UNDEFINED = 0xFFFFFFFF
LONG_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}


def new_uid() -> str:
    """A fresh UID (PS3.5 B.2: derived from a UUID)."""
    return f"2.25.{uuid.uuid4().int}"


class BytesSource:
    """A `Source` over bytes; counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.read_bytes = 0
        self.closed = False

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, size: int) -> bytes:
        piece = self._data[offset : offset + size]
        self.read_bytes += len(piece)
        return piece

    def readinto(self, offset: int, out: memoryview) -> int:
        piece = self.read_at(offset, len(out))
        out[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self.closed = True


def as_instance(data: bytes, instance_id: str = "") -> Instance:
    """A valid file as what a target takes."""
    verdict = scan(BytesSource(data))
    assert isinstance(verdict, Accept), verdict
    facts = verdict.facts
    return Instance(
        instance_id=instance_id or facts.sop_instance_uid,
        sop_class_uid=facts.sop_class_uid,
        sop_instance_uid=facts.sop_instance_uid,
        study_instance_uid=facts.study_instance_uid,
        series_instance_uid=facts.series_instance_uid,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        open=lambda: BytesSource(data),
        facts=facts,
    )


# -- elements


def element(tag: int, vr: str, value: bytes | str | int, *, syntax: str = EXPLICIT_LE) -> bytes:
    """One element; text and UIDs are padded, an int becomes US."""
    order = ">" if syntax == EXPLICIT_BE else "<"
    if isinstance(value, int):
        value = struct.pack(order + "H", value)
    elif isinstance(value, str):
        value = value.encode()
    if len(value) % 2:
        value += b"\0" if vr in {"UI", "OB", "UN"} else b" "
    return header(tag, vr, len(value), syntax=syntax) + value


def header(tag: int, vr: str, length: int, *, syntax: str = EXPLICIT_LE) -> bytes:
    """The header alone, with whatever length."""
    order = ">" if syntax == EXPLICIT_BE else "<"
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT_LE:
        return head + struct.pack("<I", length)
    if vr in LONG_VRS:
        return head + vr.encode() + b"\0\0" + struct.pack(order + "I", length)
    return head + vr.encode() + struct.pack(order + "H", length)


def sequence(tag: int, items: Sequence[bytes], *, vr: str = "SQ", syntax: str = EXPLICIT_LE) -> bytes:
    """A sequence of undefined length with items of undefined length."""
    order = ">" if syntax == EXPLICIT_BE else "<"
    item, item_end, end = (struct.pack(order + "HH", 0xFFFE, number) for number in (0xE000, 0xE00D, 0xE0DD))
    undefined, nothing = b"\xff\xff\xff\xff", b"\0\0\0\0"
    inner = b"".join(item + undefined + content + item_end + nothing for content in items)
    return header(tag, vr, UNDEFINED, syntax=syntax) + inner + end + nothing


def sequence_of_known_length(tag: int, items: Sequence[bytes], *, vr: str = "SQ", syntax: str = EXPLICIT_LE) -> bytes:
    """A sequence whose lengths are all written."""
    inner = b"".join(ITEM + struct.pack("<I", len(content)) + content for content in items)
    return header(tag, vr, len(inner), syntax=syntax) + inner


def nested(depth: int, *, known_length: bool = False, syntax: str = EXPLICIT_LE, vr: str = "SQ") -> bytes:
    """Content sequences (0040,A730) within each other."""
    make = sequence_of_known_length if known_length else sequence
    content = element(0x0040A160, "UT", "deep", syntax=syntax)
    for _ in range(depth):
        content = make(0x0040A730, [content], syntax=syntax, vr=vr)
    return content


def fragments(*frames: bytes) -> bytes:
    """Encapsulated pixel data (PS3.5 annex A.4) with an empty offset table."""
    content = b"".join(ITEM + struct.pack("<I", len(frame)) + frame for frame in (b"", *frames))
    return header(0x7FE00010, "OB", UNDEFINED) + content + SEQUENCE_END + b"\0\0\0\0"


def file_meta(values: dict[int, tuple[str, str | bytes]]) -> bytes:
    """Group 0002 with its length."""
    body = b"".join(element(0x00020000 | number, vr, value) for number, (vr, value) in sorted(values.items()))
    return element(0x00020000, "UL", struct.pack("<I", len(body))) + body


# -- files


def instance(
    *,
    sop_instance_uid: str | None = None,
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    sop_class_uid: str = SECONDARY_CAPTURE,
    transfer_syntax_uid: str = EXPLICIT_LE,
    patient_id: str = "TEST-1",
    patient_name: str = "TEST^ONE",
    patient_birth_date: str = "19700101",
    accession_number: str = "",
    modality: str = "OT",
    study_date: str = "20240101",
    rows: int = 16,
    columns: int = 16,
    frames: int = 1,
    pixel_data: bytes | None = None,
    preamble: bytes = b"",
    meta: dict[int, tuple[str, str | bytes]] | None = None,
    without: Sequence[int] = (),
    extra: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """A valid Part 10 file (PS3.10 section 7), about a kilobyte; UIDs are fresh unless given.

    :param pixel_data: the value; for encapsulated syntaxes one frame's bytes.
    :param meta: values of group 0002 to add or put in place of its own.
    :param without: tags of the data set to leave out.
    :param extra: elements to put before the pixel data, written in this file's syntax.
    :param tail: bytes behind the last element.
    """
    sop_instance_uid = sop_instance_uid or new_uid()
    encoding = transfer_syntax_uid if transfer_syntax_uid in {IMPLICIT_LE, EXPLICIT_BE} else EXPLICIT_LE
    values: dict[int, tuple[str, str | int]] = {
        0x00080016: ("UI", sop_class_uid),
        0x00080018: ("UI", sop_instance_uid),
        0x00080020: ("DA", study_date),
        0x00080050: ("SH", accession_number),
        0x00080060: ("CS", modality),
        0x00100010: ("PN", patient_name),
        0x00100020: ("LO", patient_id),
        0x00100030: ("DA", patient_birth_date),
        0x0020000D: ("UI", study_instance_uid or new_uid()),
        0x0020000E: ("UI", series_instance_uid or new_uid()),
        0x00200013: ("IS", "1"),
        0x00280002: ("US", 1),
        0x00280004: ("CS", "MONOCHROME2"),
        0x00280008: ("IS", str(frames)),
        0x00280010: ("US", rows),
        0x00280011: ("US", columns),
        0x00280100: ("US", 8),
        0x00280101: ("US", 8),
        0x00280102: ("US", 7),
        0x00280103: ("US", 0),
    }
    data_set = b"".join(
        element(tag, vr, value, syntax=encoding) for tag, (vr, value) in values.items() if tag not in without
    )
    data_set += extra
    if 0x7FE00010 not in without:
        if transfer_syntax_uid.startswith("1.2.840.10008.1.2.4."):
            data_set += fragments(*[pixel_data if pixel_data is not None else b"\xff\xd8\xff\xd9"] * frames)
        else:
            plain = pixel_data if pixel_data is not None else bytes(range(256)) * (rows * columns * frames // 256 + 1)
            if pixel_data is None:
                plain = plain[: rows * columns * frames]
            data_set += element(0x7FE00010, "OW" if encoding == IMPLICIT_LE else "OB", plain, syntax=encoding)
    data_set += tail
    if transfer_syntax_uid == DEFLATED:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data_set = deflater.compress(data_set) + deflater.flush()
        data_set += b"\0" * (len(data_set) % 2)
    group_2: dict[int, tuple[str, str | bytes]] = {
        0x01: ("OB", b"\0\1"),
        0x02: ("UI", sop_class_uid),
        0x03: ("UI", sop_instance_uid),
        0x10: ("UI", transfer_syntax_uid),
        0x12: ("UI", "2.25.1"),
    }
    group_2.update(meta or {})
    return preamble.ljust(128, b"\0") + b"DICM" + file_meta(group_2) + data_set


def study(count: int, *, pixel_bytes: int = 256, **same: Any) -> list[bytes]:
    """Instances of one series of one study; `same` as `instance`'s keywords."""
    uids = {"study_instance_uid": new_uid(), "series_instance_uid": new_uid(), **same}
    rows = max(pixel_bytes // 256, 1)
    return [
        instance(**uids, rows=rows, columns=256, pixel_data=bytes([number % 251]) * (rows * 256))
        for number in range(count)
    ]


def smuggler(boundary: str, stowaway: bytes) -> bytes:
    """A valid file with a private element that would end its part of a request and begin another."""
    payload = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + stowaway
    return instance(extra=element(0x00290010, "LO", "TEST") + element(0x00291001, "OB", payload))


def meta_end(data: bytes) -> int:
    """Where the data set of a file of ours begins."""
    return 132 + 12 + int(struct.unpack_from("<I", data, 132 + 8)[0])


def deflated(data_set: bytes) -> bytes:
    """A deflated file with these bytes as its data set."""
    whole = instance(transfer_syntax_uid=DEFLATED)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return whole[: meta_end(whole)] + deflater.compress(data_set) + deflater.flush()


def deflate_bomb(size_bytes: int) -> bytes:
    """A deflated file whose data set unfolds to `size_bytes` of zeros."""
    whole = instance(transfer_syntax_uid=DEFLATED)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    head = deflater.compress(header(0x00291001, "OB", size_bytes & ~1)) + deflater.flush(zlib.Z_FULL_FLUSH)
    mebibyte = deflater.compress(bytes(2**20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    return whole[: meta_end(whole)] + head + mebibyte * (size_bytes // 2**20) + deflater.flush()


_WHOLE = instance()
_DEFLATED = instance(transfer_syntax_uid=DEFLATED)
_SMUGGLED_BOUNDARY = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"

#: Name -> (bytes, "Accept", "Reject" or "Skip", code or warning; empty for none).
HOSTILE: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "Skip", "empty_file"),
    "zeros": (bytes(4096), "Reject", "only_zeros"),
    "text": (b"Notes about a study, 1.2.840.10008.5.1.4.1.1.2\n" * 20, "Skip", "not_dicom"),
    "jpeg": (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * 8, "Skip", "not_dicom"),
    "thumbs_db": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "Skip", "not_dicom"),
    "ds_store": (b"\x00\x00\x00\x01Bud1" + bytes(400), "Skip", "not_dicom"),
    "autorun_inf": (b"[autorun]\r\nopen=viewer.exe\r\n", "Skip", "not_dicom"),
    "viewer_exe": (b"MZ\x90\x00" + bytes(2000), "Skip", "not_dicom"),
    "zip": (b"PK\x03\x04" + bytes(2000), "Skip", "not_dicom"),
    "dicomdir": (instance(sop_class_uid=DICOMDIR), "Skip", "dicomdir"),
    "no_preamble": (_WHOLE[132:], "Reject", "no_preamble"),
    "prefix_without_preamble": (_WHOLE[128:], "Reject", "no_preamble"),
    "bare_data_set": (_WHOLE[_WHOLE.index(b"\x08\x00\x16\x00") :], "Reject", "no_preamble"),
    "preamble_only": (bytes(128) + b"DICM", "Reject", "missing_file_meta"),
    "preamble_pe": (instance(preamble=b"MZ\x90\x00"), "Reject", "preamble_executable"),
    "preamble_elf": (instance(preamble=b"\x7fELF\x02\x01"), "Reject", "preamble_executable"),
    "preamble_shell": (instance(preamble=b"#!/bin/sh\n"), "Reject", "preamble_executable"),
    "preamble_html": (instance(preamble=b"\n<HTML><Script>x()</Script>"), "Reject", "preamble_active_content"),
    "preamble_tiff_little": (instance(preamble=b"II*\0\x10\0\0\0"), "Accept", ""),
    "preamble_tiff_big": (instance(preamble=b"MM\0*\0\0\0\x10"), "Accept", ""),
    "preamble_of_a_device": (instance(preamble=bytes(17) + b"\x01"), "Accept", ""),
    "truncated_in_meta": (_WHOLE[:200], "Reject", "truncated"),
    "truncated_in_header": (_WHOLE[: _WHOLE.index(b"\x28\0\x10\0US") + 5], "Reject", "truncated"),
    "truncated_in_pixels": (_WHOLE[:-100], "Reject", "truncated"),
    "length_beyond_the_end": (instance(extra=header(0x00291001, "OB", 0x7FFFFFFE)), "Reject", "truncated"),
    "element_overruns_item": (
        instance(extra=sequence_of_known_length(0x00081140, [header(0x00081155, "UI", 400)])), "Reject", "bad_length",
    ),
    "undefined_length_of_text": (instance(extra=header(0x00290010, "UT", UNDEFINED)), "Reject", "bad_length"),
    "sequence_of_no_items": (
        instance(extra=header(0x00081140, "SQ", UNDEFINED) + element(0x00081155, "UI", "1.2")), "Reject",
        "bad_sequence",
    ),
    "stray_delimiter": (instance(extra=SEQUENCE_END + bytes(4)), "Reject", "bad_sequence"),
    "implicit_among_explicit": (
        instance(extra=element(0x00290010, "LO", "abcd", syntax=IMPLICIT_LE)), "Reject", "bad_vr",
    ),
    "nesting_32": (instance(extra=nested(32)), "Accept", ""),
    "nesting_33": (instance(extra=nested(33)), "Reject", "nesting_too_deep"),
    "nesting_60_known_length": (instance(extra=nested(60, known_length=True)), "Reject", "nesting_too_deep"),
    "nesting_60_implicit": (
        instance(transfer_syntax_uid=IMPLICIT_LE, extra=nested(60, known_length=True, syntax=IMPLICIT_LE)), "Reject",
        "nesting_too_deep",
    ),
    "nesting_60_unknown_vr": (
        instance(extra=sequence_of_known_length(
            0x00291001, [nested(60, known_length=True, syntax=IMPLICIT_LE)], vr="UN",
        )), "Reject", "nesting_too_deep",
    ),
    "nesting_60_big_endian": (
        instance(transfer_syntax_uid=EXPLICIT_BE, extra=nested(60, syntax=EXPLICIT_BE)), "Reject", "nesting_too_deep",
    ),
    "private_value_like_an_item": (
        instance(extra=element(0x00291001, "UN", ITEM + b"\x10\0\0\0" + b"not a data set at all")), "Accept", "",
    ),
    "no_sop_class_uid": (instance(without=[0x00080016]), "Reject", "missing_sop_class_uid"),
    "no_sop_instance_uid": (instance(without=[0x00080018]), "Reject", "missing_sop_instance_uid"),
    "no_study_uid": (instance(without=[0x0020000D]), "Reject", "missing_study_instance_uid"),
    "no_series_uid": (instance(without=[0x0020000E]), "Reject", "missing_series_instance_uid"),
    "uid_of_words": (instance(study_instance_uid="1.2.3.not-a-uid"), "Reject", "invalid_uid"),
    "uid_with_empty_component": (instance(series_instance_uid="1..2"), "Reject", "invalid_uid"),
    "uid_with_leading_zero": (instance(series_instance_uid="1.02"), "Accept", "uid_leading_zero"),
    "vr_in_small_letters": (instance(extra=element(0x00290010, "lo", "abcd")), "Accept", "odd_vr"),
    "meta_length_of_zero": (
        _WHOLE[:140] + bytes(4) + _WHOLE[144:], "Accept", "meta_length_wrong",
    ),
    "name_in_un": (
        instance(without=[0x00100010], extra=element(0x00100010, "UN", "TEST^ONE")), "Accept", "identifier_without_vr",
    ),
    "patient_id_twice": (instance(extra=element(0x00100020, "LO", "TEST-1")), "Accept", "repeated_attribute"),
    "rows_in_words": (
        instance(without=[0x00280010], extra=element(0x00280010, "LO", "sixteen ")), "Accept", "image_size_unknown",
    ),
    "a_frame_without_bytes": (
        instance(transfer_syntax_uid=JPEG_BASELINE, pixel_data=b""), "Accept", "pixel_data_incomplete",
    ),
    "spectroscopy": (
        instance(sop_class_uid="1.2.840.10008.5.1.4.1.1.4.2", without=[0x7FE00010]), "Accept", "",
    ),
    "pixels_by_jpip": (
        instance(transfer_syntax_uid="1.2.840.10008.1.2.4.94", without=[0x7FE00010]), "Accept", "",
    ),
    "ge_private_syntax": (
        instance(transfer_syntax_uid=IMPLICIT_LE, meta={0x10: ("UI", "1.2.840.113619.5.2")}), "Accept",
        "unknown_transfer_syntax",
    ),
    "uid_too_long": (instance(study_instance_uid="1." + "2" * 63), "Reject", "invalid_uid"),
    "uid_padded_with_space": (instance(study_instance_uid="1.2.3 "), "Accept", ""),
    "no_transfer_syntax": (instance(meta={0x10: ("UI", "")}), "Reject", "missing_transfer_syntax_uid"),
    "unknown_transfer_syntax": (
        instance(transfer_syntax_uid="1.2.3.4.5.6.7"), "Accept", "unknown_transfer_syntax",
    ),
    "unreadable_transfer_syntax": (
        instance(transfer_syntax_uid="1.2.3.4", extra=element(0x00290010, "LO", "abcd", syntax=IMPLICIT_LE)),
        "Reject", "unknown_transfer_syntax",
    ),
    "unknown_sop_class": (instance(sop_class_uid="1.2.3.4"), "Accept", "unknown_sop_class"),
    "meta_of_another": (instance(meta={0x03: ("UI", "1.2.3")}), "Accept", "meta_mismatch"),
    "meta_without_uid": (instance(meta={0x03: ("UI", "")}), "Accept", "meta_incomplete"),
    "no_patient_id": (instance(patient_id=""), "Accept", "missing_patient_id"),
    "no_modality": (instance(modality=""), "Accept", "missing_modality"),
    "two_patient_ids": (instance(extra=element(0x00100020, "LO", "TEST-2")), "Reject", "duplicate_attribute"),
    "patient_id_of_a_novel": (instance(patient_id="x" * 2000), "Reject", "value_too_long"),
    "no_pixels": (instance(without=[0x7FE00010]), "Accept", "missing_pixel_data"),
    "pixels_too_few": (instance(rows=64, columns=64, pixel_data=bytes(100)), "Reject", "pixel_data_too_short"),
    "rows_columns_bomb": (
        instance(rows=65535, columns=65535, pixel_data=bytes(64)), "Reject", "pixel_data_too_short",
    ),
    "rows_columns_bomb_in_jpeg": (
        instance(transfer_syntax_uid=JPEG_2000, rows=65535, columns=65535), "Reject", "rows_columns_bomb",
    ),
    "native_pixels_called_jpeg": (
        instance(transfer_syntax_uid=JPEG_BASELINE, without=[0x7FE00010],
                 extra=element(0x7FE00010, "OB", bytes(256))), "Accept", "pixel_data_encoding",
    ),
    "deflate_damaged": (
        _DEFLATED[: meta_end(_DEFLATED)] + b"\xff" * 40, "Reject", "deflate_damaged",
    ),
    "deflate_cut": (_DEFLATED[:-40], "Reject", "truncated"),
    "strings_that_inject": (
        instance(patient_name="'; DROP TABLE x; --^<script>", patient_id="../../etc/passwd"), "Accept", "",
    ),
    "boundary_smuggler": (smuggler(_SMUGGLED_BOUNDARY, instance(patient_id="SMUGGLED")), "Accept", ""),
}  # fmt: skip
