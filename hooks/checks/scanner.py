"""Judges the bytes of one DICOM file before they may reach a PACS. docs/validation.md has every code and its reason.

Promises: `scan` gives a verdict for any bytes whatever and raises only what the source raises; it holds a window of
64 KiB, never a value that isn't judged. Must not know where the bytes come from, and imports the standard library
only: it runs in a child process that a hostile file may crash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hooks.checks.charset import decode
from hooks.checks.dicom_reader import (
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    MAX_ELEMENTS,
    MAX_ELEMENTS_DEFLATED,
    MAX_ELEMENTS_PER_DEFLATED_BYTE,
    UNDEFINED_LENGTH,
    Broken,
    Element,
    Encoding,
    FileWindow,
    InflatingWindow,
    ReadAt,
    Walk,
    Window,
    read_header,
)
from hooks.checks.preamble import META_START, PREAMBLE_BYTES, PREFIX, judge_preamble, without_prefix
from hooks.checks.uids import (
    DEFLATED,
    EXPLICIT_BIG_ENDIAN,
    GE_PRIVATE_IMPLICIT,
    IMPLICIT_LITTLE_ENDIAN,
    MEDIA_STORAGE_DIRECTORY,
    NATIVE,
    PIXELS_ELSEWHERE,
    VIDEO,
    WITHOUT_PIXEL_DATA,
    is_known_sop_class,
    is_known_transfer_syntax,
)
from hooks.contract import Accept, Facts, Reject, Skip, Verdict

#: No attribute that is judged is longer (PS3.5 table 6.2-1: PN has three groups of 64 characters).
MAX_VALUE_BYTES = 1024
#: A decoded frame above this size must not be more than `MAX_COMPRESSION` times what is there of it.
LARGE_FRAME_BYTES = 256 * 2**20
MAX_COMPRESSION = 2000

#: Digits and dots, 64 characters. That no component begins with 0 is looked at apart: real devices break that rule.
UID = re.compile(rb"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*")
LEADING_ZERO = re.compile(rb"(^|\.)0[0-9]")

FILE_META_GROUP_LENGTH = 0x00020000
MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
TRANSFER_SYNTAX_UID = 0x00020010
SPECIFIC_CHARACTER_SET = 0x00080005
SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_DATE = 0x00080020
STUDY_TIME = 0x00080030
ACCESSION_NUMBER = 0x00080050
ISSUER_OF_ACCESSION_NUMBER = 0x00080051
MODALITY = 0x00080060
REFERRING_PHYSICIAN_NAME = 0x00080090
STATION_NAME = 0x00081010
STUDY_DESCRIPTION = 0x00081030
PATIENT_NAME = 0x00100010
PATIENT_ID = 0x00100020
ISSUER_OF_PATIENT_ID = 0x00100021
PATIENT_BIRTH_DATE = 0x00100030
PATIENT_SEX = 0x00100040
OTHER_PATIENT_IDS = 0x00101000
OTHER_PATIENT_IDS_SEQUENCE = 0x00101002
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
STUDY_ID = 0x00200010
SAMPLES_PER_PIXEL = 0x00280002
PHOTOMETRIC_INTERPRETATION = 0x00280004
NUMBER_OF_FRAMES = 0x00280008
ROWS = 0x00280010
COLUMNS = 0x00280011
BITS_ALLOCATED = 0x00280100
LOCAL_NAMESPACE_ENTITY_ID = 0x00400031
UNIVERSAL_ENTITY_ID = 0x00400032
PIXEL_DATA = 0x7FE00010
#: Float, double and integer pixel data (PS3.3 C.7.6.24, C.7.6.25, C.7.6.3).
PIXEL_DATA_TAGS = frozenset({0x7FE00008, 0x7FE00009, PIXEL_DATA})

REQUIRED_UIDS = {
    SOP_CLASS_UID: "missing_sop_class_uid",
    SOP_INSTANCE_UID: "missing_sop_instance_uid",
    STUDY_INSTANCE_UID: "missing_study_instance_uid",
    SERIES_INSTANCE_UID: "missing_series_instance_uid",
}
#: An object that has one of these has pixel data (PS3.3 C.7.6.3).
IMAGE_PIXEL_MODULE = frozenset({SAMPLES_PER_PIXEL, PHOTOMETRIC_INTERPRETATION, ROWS, COLUMNS, BITS_ALLOCATED})
WANTED = frozenset({
    SPECIFIC_CHARACTER_SET, *REQUIRED_UIDS, STUDY_DATE, ACCESSION_NUMBER, MODALITY, PATIENT_NAME, PATIENT_ID,
    ISSUER_OF_PATIENT_ID, PATIENT_BIRTH_DATE, SAMPLES_PER_PIXEL, PHOTOMETRIC_INTERPRETATION, NUMBER_OF_FRAMES, ROWS,
    COLUMNS, BITS_ALLOCATED,
})  # fmt: skip
#: Told of a study in what the gateway adds to it, or asked by routes. Odd ones are left empty: nothing is judged by them.
COPIED = frozenset({
    STUDY_TIME, REFERRING_PHYSICIAN_NAME, STUDY_DESCRIPTION, PATIENT_SEX, STUDY_ID, OTHER_PATIENT_IDS,
    STATION_NAME,
})  # fmt: skip
#: In items of these sequences; of several items what each says.
NESTED = {
    ISSUER_OF_ACCESSION_NUMBER: frozenset({LOCAL_NAMESPACE_ENTITY_ID, UNIVERSAL_ENTITY_ID}),
    OTHER_PATIENT_IDS_SEQUENCE: frozenset({PATIENT_ID}),
}
MAX_NESTED = 20
#: What says who and which it is: in VR UN an archive may not find it.
IDENTIFIERS = frozenset({*REQUIRED_UIDS, PATIENT_NAME, PATIENT_ID, PATIENT_BIRTH_DATE, ACCESSION_NUMBER})


@dataclass(slots=True)
class _DataSet:
    """What the walk over a data set brought home."""

    encoding: Encoding
    values: dict[int, bytes] = field(default_factory=dict)
    nested: list[tuple[int, bytes]] = field(default_factory=list)  #: sequence, value
    pixels: Element | None = None
    warnings: set[str] = field(default_factory=set)

    def text(self, tag: int) -> str:
        """A value by its character set, without padding; empty if absent."""
        return decode(self.values.get(tag, b""), self.values.get(SPECIFIC_CHARACTER_SET, b""))

    def uid(self, tag: int) -> bytes:
        """A UID without its padding; empty if absent."""
        return _stripped(self.values.get(tag, b""))

    def nested_texts(self, sequence: int) -> list[str]:
        """Values in the items of a sequence."""
        character_set = self.values.get(SPECIFIC_CHARACTER_SET, b"")
        found = (decode(value, character_set) for tag, value in self.nested if tag == sequence)
        return [text for text in found if text]

    def number(self, tag: int) -> int | None:
        """Value of VR US, or of UL, which some write instead."""
        value = self.values.get(tag, b"")
        return int.from_bytes(value, "big" if self.encoding.big_endian else "little") if len(value) in {2, 4} else None


def scan(source: ReadAt, level: str = "standard") -> Verdict:
    """Judge one file.

    :param level: "standard", or "strict": every warning is a rejection with the same code.
    """
    try:
        verdict = _scan(source)
    except Broken as broken:
        return Reject(broken.code)
    if isinstance(verdict, Accept) and verdict.warnings and level == "strict":
        return Reject(verdict.warnings[0])
    return verdict


def _scan(source: ReadAt) -> Verdict:
    window = FileWindow(source)
    head = window.peek(0, META_START)
    if head[PREAMBLE_BYTES:] != PREFIX:
        return without_prefix(source)
    judge_preamble(head[:PREAMBLE_BYTES])
    meta, start = _file_meta(window)
    if meta.get(MEDIA_STORAGE_SOP_CLASS_UID) == MEDIA_STORAGE_DIRECTORY:
        return Skip("dicomdir")
    transfer_syntax = meta.get(TRANSFER_SYNTAX_UID, b"")
    if not transfer_syntax:
        raise Broken("missing_transfer_syntax_uid")
    _require_uid(transfer_syntax)
    try:
        data_set = _data_set(source, window, start, transfer_syntax)
    except Broken:
        if is_known_transfer_syntax(transfer_syntax):
            raise
        # It need not look like a known one: what can't be read can't be judged.
        raise Broken("unknown_transfer_syntax") from None
    return _judge(meta, data_set, transfer_syntax)


def _file_meta(window: Window) -> tuple[dict[int, bytes], int]:
    """Group 0002 (PS3.10 section 7.1): its values without padding, and where the data set begins.

    The group's length is only asked where it ends early: readers go by it, or by the group's number.

    :raises Broken: truncated, bad_vr, duplicate_attribute, missing_file_meta.
    """
    values: dict[int, bytes] = {}
    position, end = META_START, None
    while position != end:
        if window.peek(position, 2) != b"\x02\x00":
            break
        tag, _, length, start = read_header(window, position, EXPLICIT_LE)
        position = start + length
        if length == UNDEFINED_LENGTH or not window.reaches(position):
            raise Broken("truncated")
        if tag in values:
            raise Broken("duplicate_attribute")
        values[tag] = _stripped(window.peek(start, min(length, MAX_VALUE_BYTES)))
        if tag == FILE_META_GROUP_LENGTH and length == 4:
            # Of a length of 0, which some write, nobody goes: the value is stripped to nothing then.
            end = position + (int.from_bytes(window.peek(start, 4), "little") or -position)
    if position == META_START:
        raise Broken("missing_file_meta")
    return values, position


def _data_set(source: ReadAt, window: Window, start: int, transfer_syntax: bytes) -> _DataSet:
    """Walk all of it. :raises Broken: as `Walk`, duplicate_attribute, value_too_long."""
    encoding, max_elements = EXPLICIT_LE, MAX_ELEMENTS
    if transfer_syntax in {IMPLICIT_LITTLE_ENDIAN, GE_PRIVATE_IMPLICIT}:
        encoding = IMPLICIT_LE
    elif transfer_syntax == EXPLICIT_BIG_ENDIAN:
        encoding = EXPLICIT_BE
    elif transfer_syntax in DEFLATED:
        window, start = InflatingWindow(source, start), 0
        unfolded = MAX_ELEMENTS_DEFLATED + MAX_ELEMENTS_PER_DEFLATED_BYTE * source.size_bytes
        max_elements = min(max_elements, unfolded)
    found = _DataSet(encoding)
    walk = Walk(window, start, encoding, max_elements, frozenset(NESTED))
    for element in walk:
        if element.parent:
            if element.tag in NESTED[element.parent] and len(found.nested) < MAX_NESTED:
                found.nested.append((element.parent, walk.value(element, MAX_VALUE_BYTES)))
        elif element.tag in WANTED:
            _keep(found, element, walk)
        elif element.tag in COPIED:
            odd = element.tag in found.values or element.length > MAX_VALUE_BYTES
            found.values[element.tag] = b"" if odd else walk.value(element, MAX_VALUE_BYTES)
        elif element.tag in PIXEL_DATA_TAGS:
            if found.pixels is not None:
                raise Broken("duplicate_attribute")
            found.pixels = element
    if walk.odd_vr:
        found.warnings.add("odd_vr")
    return found


def _keep(found: _DataSet, element: Element, walk: Walk) -> None:
    """:raises Broken: duplicate_attribute, value_too_long."""
    if element.length > MAX_VALUE_BYTES:
        raise Broken("value_too_long")
    value = walk.value(element, MAX_VALUE_BYTES)
    if element.tag in found.values:
        # Two readers may take different ones of two: the PACS must not see another patient than we did.
        if _stripped(value) != _stripped(found.values[element.tag]):
            raise Broken("duplicate_attribute")
        found.warnings.add("repeated_attribute")
    if element.vr == b"UN" and element.tag in IDENTIFIERS:
        found.warnings.add("identifier_without_vr")
    found.values[element.tag] = value


def _judge(meta: dict[int, bytes], data_set: _DataSet, transfer_syntax: bytes) -> Accept:
    for tag, code in REQUIRED_UIDS.items():
        uid = data_set.uid(tag)
        if not uid:
            raise Broken(code)
        _require_uid(uid)
    facts = _facts(data_set, transfer_syntax)
    in_meta = (meta.get(MEDIA_STORAGE_SOP_CLASS_UID, b""), meta.get(MEDIA_STORAGE_SOP_INSTANCE_UID, b""))
    in_data_set = (data_set.uid(SOP_CLASS_UID), data_set.uid(SOP_INSTANCE_UID))
    known = is_known_transfer_syntax(transfer_syntax)
    warnings = {
        "meta_incomplete": not all(in_meta),
        "meta_mismatch": any(mine and mine != theirs for mine, theirs in zip(in_meta, in_data_set, strict=True)),
        "meta_length_wrong": meta.get(FILE_META_GROUP_LENGTH) == b"" and FILE_META_GROUP_LENGTH in meta,
        "uid_leading_zero": any(LEADING_ZERO.search(data_set.uid(tag)) for tag in REQUIRED_UIDS),
        "unknown_sop_class": not is_known_sop_class(in_data_set[0]),
        "unknown_transfer_syntax": not known,
        **_pixel_warnings(data_set, transfer_syntax, known=known),
        "missing_patient_id": not facts.patient_id,
        "missing_modality": not facts.modality,
        **dict.fromkeys(sorted(data_set.warnings), True),
    }
    return Accept(facts, tuple(code for code, given in warnings.items() if given))


def _pixel_warnings(data_set: _DataSet, transfer_syntax: bytes, *, known: bool) -> dict[str, bool]:
    """:raises Broken: pixel_data_too_short, rows_columns_bomb."""
    pixels, frame_bits = data_set.pixels, _bits_of_frame(data_set)
    if pixels is None:
        is_image = bool(data_set.values.keys() & IMAGE_PIXEL_MODULE)
        elsewhere = transfer_syntax in PIXELS_ELSEWHERE or data_set.uid(SOP_CLASS_UID) in WITHOUT_PIXEL_DATA
        return {"missing_pixel_data": is_image and not elsewhere}
    frames = _frames(data_set)
    if frame_bits is not None:
        _judge_size(pixels, frame_bits, frames)
    enough = 1 if transfer_syntax in VIDEO else frames
    return {
        "pixel_data_encoding": known
        and pixels.tag == PIXEL_DATA
        and pixels.encapsulated == (transfer_syntax in NATIVE),
        "pixel_data_incomplete": pixels.encapsulated and pixels.fragments < enough,
        "image_size_unknown": frame_bits is None and not pixels.encapsulated,
    }


def _judge_size(pixels: Element, frame_bits: int, frames: int) -> None:
    """:raises Broken: pixel_data_too_short, rows_columns_bomb."""
    if not pixels.encapsulated:
        if pixels.length < (frame_bits * frames + 7) // 8:
            raise Broken("pixel_data_too_short")
    elif frame_bits // 8 > LARGE_FRAME_BYTES and frame_bits // 8 * frames > MAX_COMPRESSION * pixels.length:
        raise Broken("rows_columns_bomb")


def _bits_of_frame(data_set: _DataSet) -> int | None:
    """Size of a decoded frame; None if the attributes don't tell."""
    rows, columns = data_set.number(ROWS), data_set.number(COLUMNS)
    tag = data_set.pixels.tag if data_set.pixels else 0
    bits = {0x7FE00008: 32, 0x7FE00009: 64}.get(tag) or data_set.number(BITS_ALLOCATED)
    if rows is None or columns is None or bits is None:
        return None
    sample_count = rows * columns * (data_set.number(SAMPLES_PER_PIXEL) or 1)
    photometric = data_set.values.get(PHOTOMETRIC_INTERPRETATION, b"")
    # Chroma for two, or four, pixels together (PS3.3 C.7.6.3.1.2).
    if b"422" in photometric:
        sample_count = sample_count * 2 // 3
    elif b"420" in photometric:
        sample_count //= 2
    return sample_count * bits


def _frames(data_set: _DataSet) -> int:
    text = data_set.values.get(NUMBER_OF_FRAMES, b"").strip(b"\0 ")
    return max(int(text), 1) if text.isdigit() and len(text) <= 12 else 1


def _facts(data_set: _DataSet, transfer_syntax: bytes) -> Facts:
    return Facts(
        sop_class_uid=data_set.uid(SOP_CLASS_UID).decode(),
        sop_instance_uid=data_set.uid(SOP_INSTANCE_UID).decode(),
        study_instance_uid=data_set.uid(STUDY_INSTANCE_UID).decode(),
        series_instance_uid=data_set.uid(SERIES_INSTANCE_UID).decode(),
        transfer_syntax_uid=transfer_syntax.decode(),
        modality=data_set.text(MODALITY),
        patient_id=data_set.text(PATIENT_ID),
        issuer_of_patient_id=data_set.text(ISSUER_OF_PATIENT_ID),
        patient_name=data_set.text(PATIENT_NAME),
        patient_birth_date=data_set.text(PATIENT_BIRTH_DATE),
        accession_number=data_set.text(ACCESSION_NUMBER),
        study_date=data_set.text(STUDY_DATE),
        study_time=data_set.text(STUDY_TIME),
        study_id=data_set.text(STUDY_ID),
        study_description=data_set.text(STUDY_DESCRIPTION),
        referring_physician_name=data_set.text(REFERRING_PHYSICIAN_NAME),
        patient_sex=data_set.text(PATIENT_SEX),
        other_patient_ids="\\".join(
            text
            for text in (data_set.text(OTHER_PATIENT_IDS), *data_set.nested_texts(OTHER_PATIENT_IDS_SEQUENCE))
            if text
        ),
        issuer_of_accession_number=next(iter(data_set.nested_texts(ISSUER_OF_ACCESSION_NUMBER)), ""),
        station_name=data_set.text(STATION_NAME),
    )


def _require_uid(uid: bytes) -> None:
    if not UID.fullmatch(uid):
        raise Broken("invalid_uid")


def _stripped(value: bytes) -> bytes:
    """Without padding: NUL by the standard (PS3.5 section 9.1), spaces from many devices."""
    return value.strip(b"\0 ")
