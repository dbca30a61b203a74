"""Identifiers of C-FIND (PS3.4 section C.4.1.1.3) in Implicit VR Little Endian: keys out, records in. Pure.

Records have the form of DICOM JSON (PS3.18 annex F), which those of QIDO-RS have: they are read alike.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping
from typing import Any

from pydicom.charset import decode_bytes, python_encoding

from hooks.targets.dimse.command import NotDimse
from hooks.targets.qido import PATIENT_NAME

CHARACTER_SET, LEVEL = 0x00080005, 0x00080052
UTF8 = "ISO_IR 192"
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_FAILURE_REASON = 0x00081197  #: US: the one number that is read
_MOST_NESTED = 8
_DELIMITERS = {0x5C}


def encoded(keys: Mapping[int, str], level: str) -> bytes:
    """Keys with their values; empty ones are asked for. A sequence is asked for by no item."""
    asked = {LEVEL: level, **keys}
    if not all(value.isascii() for value in asked.values()):
        asked[CHARACTER_SET] = UTF8
    return b"".join(_element(tag, asked[tag]) for tag in sorted(asked))


def _element(tag: int, value: str) -> bytes:
    raw = value.encode()
    pad = b"\0" if tag in {0x0020000D, 0x0020000E, 0x00080018} else b" "
    raw += pad * (len(raw) % 2)
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(raw)) + raw


def record_of(raw: bytes) -> dict[str, Any]:
    """What an answer says. :raises NotDimse: it isn't a data set."""
    try:
        record, _ = _data_set(raw, 0, len(raw), 0, ["iso8859"])
    except struct.error:
        raise NotDimse from None
    return record


def _data_set(raw: bytes, at: int, end: int, depth: int, encodings: list[str]) -> tuple[dict[str, Any], int]:
    """Until `end`, or the delimiter of an item."""
    if depth > _MOST_NESTED:
        raise NotDimse
    record: dict[str, Any] = {}
    while at < end:
        tag, length = _header(raw, at)
        at += 8
        if tag == _ITEM_END:
            break
        if length == _UNDEFINED or _looks_like_items(raw, at, length):
            items, at = _items(raw, at, length, depth, encodings)
            record[f"{tag:08X}"] = {"Value": items}
            continue
        value = raw[at : at + length]
        if len(value) != length:
            raise NotDimse
        at += length
        if tag == CHARACTER_SET:
            encodings = _encodings(value)
        record[f"{tag:08X}"] = {"Value": _values(tag, value, encodings)}
    return record, at


def _header(raw: bytes, at: int) -> tuple[int, int]:
    group, number, length = struct.unpack_from("<HHI", raw, at)
    return group << 16 | number, length


def _looks_like_items(raw: bytes, at: int, length: int) -> bool:
    return length >= 8 and raw[at : at + 4] == b"\xfe\xff\x00\xe0"


def _items(raw: bytes, at: int, length: int, depth: int, encodings: list[str]) -> tuple[list[dict[str, Any]], int]:
    items: list[dict[str, Any]] = []
    end = len(raw) if length == _UNDEFINED else at + length
    if end > len(raw):
        raise NotDimse
    while at < end:
        tag, item_length = _header(raw, at)
        at += 8
        if tag == _SEQUENCE_END:
            break
        if tag != _ITEM:
            raise NotDimse
        item_end = len(raw) if item_length == _UNDEFINED else at + item_length
        if item_end > len(raw):
            raise NotDimse
        item, at = _data_set(raw, at, item_end, depth + 1, encodings)
        items.append(item)
    return items, at


def _encodings(value: bytes) -> list[str]:
    terms = [term.strip() for term in value.decode("ascii", "replace").strip("\0 ").split("\\")]
    return [python_encoding.get(term, "iso8859") for term in terms] or ["iso8859"]


def _values(tag: int, value: bytes, encodings: list[str]) -> list[Any]:
    if tag == _FAILURE_REASON:
        return [int.from_bytes(value, "little")] if len(value) == 2 else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what can't be decoded is replaced
        text = decode_bytes(value, encodings, _DELIMITERS)
    parts = [one.strip("\0 ") for one in text.split("\\")]
    if f"{tag:08X}" == PATIENT_NAME:
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        return [dict(zip(groups, name.split("="), strict=False)) for name in parts if name]
    return [one for one in parts if one]
