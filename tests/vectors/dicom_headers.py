"""Makes `dicom_headers.json`: what a header may look like, for both who read headers, the gateway's scanner and the app.

`python -m tests.vectors.dicom_headers` prints it. A file is given as pieces: bytes in hex, and how many times.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from tests.dicom_samples import (
    DEFLATED,
    DICOMDIR,
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    SECONDARY_CAPTURE,
    UNDEFINED,
    element,
    file_meta,
    header,
    nested,
    sequence,
    sequence_of_known_length,
)

ABOUT = (
    "Files and what their readers make of them: `gateway` is the scanner's verdict, or the code of its rejection; `app` is"
    " `header`, or why the app leaves the file out. Made by tests/vectors/dicom_headers.py; no person has these values."
)
FACTS = {
    "sop_instance_uid": "1.2.3.1",
    "study_instance_uid": "1.2.3.2",
    "series_instance_uid": "1.2.3.3",
    "modality": "CT",
    "patient_id": "ID 7",
    "patient_name": "DOE^JANE",
    "patient_birth_date": "19700101",
    "frames": "",
}
JPIP_DEFLATED, HTJ2K_DEFLATED = "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"

BEFORE = {
    0x00080016: ("UI", SECONDARY_CAPTURE),
    0x00080018: ("UI", FACTS["sop_instance_uid"]),
    0x00080060: ("CS", FACTS["modality"]),
}
AFTER = {
    0x00100010: ("PN", FACTS["patient_name"]),
    0x00100020: ("LO", FACTS["patient_id"]),
    0x00100030: ("DA", FACTS["patient_birth_date"]),
    0x0020000D: ("UI", FACTS["study_instance_uid"]),
    0x0020000E: ("UI", FACTS["series_instance_uid"]),
}

Pieces = list[tuple[bytes, int]]


def elements(values: Mapping[int, tuple[str, str | bytes]], encoding: str = EXPLICIT_LE) -> bytes:
    return b"".join(element(tag, vr, value, syntax=encoding) for tag, (vr, value) in values.items())


def data_set(between: bytes = b"", encoding: str = EXPLICIT_LE, **other: tuple[str, str | bytes]) -> bytes:
    """All that is judged. :param between: elements before group 0010. :param other: by hexadecimal tag."""
    changed = {int(tag[1:], 16): value for tag, value in other.items()}
    before = {tag: changed.pop(tag, value) for tag, value in BEFORE.items()}
    after = {tag: changed.pop(tag, value) for tag, value in AFTER.items()}
    first = {tag: value for tag, value in changed.items() if tag < 0x00080016}
    last = {tag: value for tag, value in changed.items() if tag > 0x0020000E}
    return elements(first | before, encoding) + between + elements(after | last, encoding)


def meta(syntax: str = EXPLICIT_LE, **other: tuple[str, str | bytes]) -> bytes:
    values: dict[int, tuple[str, str | bytes]] = {
        0x02: ("UI", SECONDARY_CAPTURE),
        0x03: ("UI", FACTS["sop_instance_uid"]),
        0x10: ("UI", syntax),
    }
    return file_meta(values | {int(number[1:], 16): value for number, value in other.items()})


def part10(*parts: bytes) -> Pieces:
    return [(b"\0", 128), (b"DICM", 1), *((part, 1) for part in parts)]


def packed(data: bytes) -> bytes:
    deflater = zlib.compressobj(0, wbits=-zlib.MAX_WBITS)  # nothing that one zlib does otherwise than another
    body = deflater.compress(data) + deflater.flush()
    return body + b"\0" * (len(body) % 2)


def unnamed_length(value: bytes) -> bytes:
    """Group 0002 whose length is what is given, whatever follows."""
    return element(0x00020000, "UL", value)


def vector(
    name: str, about: str, pieces: Pieces, gateway: str = "accept", app: str = "header", **facts: str
) -> dict[str, Any]:
    told = {"name": name, "about": about, "pieces": [[data.hex(), times] for data, times in pieces]}
    return told | {"gateway": gateway, "app": app} | ({"facts": FACTS | facts} if app == "header" else {})


def encodings() -> list[dict[str, Any]]:
    whole = data_set()
    return [
        vector("explicit", "Explicit VR Little Endian", part10(meta(), whole)),
        vector("implicit", "Implicit VR Little Endian", part10(meta(IMPLICIT_LE), data_set(encoding=IMPLICIT_LE))),
        vector("big_endian", "Explicit VR Big Endian", part10(meta(EXPLICIT_BE), data_set(encoding=EXPLICIT_BE))),
        *(
            vector(f"deflated_{number}", f"deflated: {syntax}", part10(meta(syntax), packed(whole)))
            for number, syntax in enumerate((DEFLATED, JPIP_DEFLATED, HTJ2K_DEFLATED))
        ),
        vector("unknown_syntax", "a syntax of nobody, readable as explicit", part10(meta("1.2.3.4.5"), whole)),
        vector("syntax_padded", "spaces around the transfer syntax", part10(meta(f" {IMPLICIT_LE}  "), data_set(encoding=IMPLICIT_LE))),
    ]  # fmt: skip


def values_without_length() -> list[dict[str, Any]]:
    inside = element(0x00091002, "LO", "inside", syntax=IMPLICIT_LE)
    other_patient = element(0x00100020, "LO", "SOMEBODY")
    deeper = sequence(0x00091003, [inside], syntax=IMPLICIT_LE)
    undefined = header(0x00091001, "UN", UNDEFINED)
    big = header(0x00091001, "UN", UNDEFINED, syntax=EXPLICIT_BE)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
    known_item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inside)) + inside
    ends = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    fragment = struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"abcd"
    return [
        vector("un_undefined", "UN of undefined length holds implicit VR (PS3.5 6.2.2)",
               part10(meta(), data_set(undefined + item + inside + deeper + ends))),
        vector("un_undefined_known_items", "the same with an item of known length",
               part10(meta(), data_set(undefined + known_item + end))),
        vector("un_undefined_big_endian", "it is little endian within big endian, too",
               part10(meta(EXPLICIT_BE), data_set(big + item + inside + ends, EXPLICIT_BE))),
        vector("un_known_like_a_sequence", "UN of known length that begins like a sequence and is none",
               part10(meta(), data_set(element(0x00091001, "UN", item + b"no data set")))),
        vector("private_fragments", "a private OB of undefined length",
               part10(meta(), data_set(header(0x00091001, "OB", UNDEFINED) + fragment + end))),
        vector("sequences", "what is nested is not the instance's own",
               part10(meta(), data_set(sequence(0x00081140, [other_patient, other_patient])
                                       + sequence_of_known_length(0x00081150, [other_patient])))),
        vector("nested_32", "32 sequences within each other", part10(meta(), data_set(nested_private(32)))),
        vector("nested_33", "33 are too many", part10(meta(), data_set(nested_private(33))), "nesting_too_deep", "broken"),
        vector("text_undefined", "undefined length where there can be none, behind the UIDs",
               part10(meta(), data_set(), header(0x00290010, "UT", UNDEFINED)), "bad_length"),
    ]  # fmt: skip


def nested_private(depth: int) -> bytes:
    """As `nested`, before group 0010."""
    return nested(depth).replace(struct.pack("<HH", 0x0040, 0xA730), struct.pack("<HH", 0x0009, 0x1001))


def representations() -> list[dict[str, Any]]:
    long_form = struct.pack("<HH2sHI", 0x0009, 0x1001, b"ZZ", 0, 6) + b"abcdef"
    short_forms = b"".join(
        struct.pack("<HH2sH", 0x0009, 0x1001 + number, vr, 4) + b"abcd"
        for number, vr in enumerate((b"??", b"  ", b"\0\0"))
    )
    no_vr = struct.pack("<HHI", 0x0009, 0x1001, 4) + b"abcd"
    return [
        vector("vr_of_tomorrow", "an unknown VR has a length of four bytes", part10(meta(), data_set(long_form))),
        vector("vr_of_old_toolkits", "no VR at all, written as two bytes", part10(meta(), data_set(short_forms))),
        vector("vr_missing", "an implicit element among explicit ones", part10(meta(), data_set(no_vr)), "bad_vr", "broken"),
        vector("vr_missing_behind", "the same behind the UIDs: the gateway says it",
               part10(meta(), data_set(), struct.pack("<HHI", 0x0029, 0x0010, 4) + b"abcd"), "bad_vr"),
        vector("ids_as_un", "identifiers whose VR is UN",
               part10(meta(), data_set(x00100010=("UN", FACTS["patient_name"] + " "), x00100020=("UN", FACTS["patient_id"])))),
    ]  # fmt: skip


def metas() -> list[dict[str, Any]]:
    plain = meta()[12:]
    group_2 = element(0x00020102, "OB", b"abcd")
    second = file_meta({0x10: ("UI", IMPLICIT_LE)})
    return [
        vector("meta_twice", "a second file meta: it is part of the data set", part10(meta(), second, data_set())),
        vector("group_2_in_data_set", "an element of group 0002 behind the meta's end", part10(meta(), group_2, data_set())),
        vector("group_2_in_implicit", "the same, written as the data set is",
               part10(meta(IMPLICIT_LE), element(0x00020102, "OB", b"abcd", syntax=IMPLICIT_LE), data_set(encoding=IMPLICIT_LE))),
        vector("meta_without_length", "no group length: the meta ends with its group", part10(plain, data_set())),
        vector("meta_too_long", "a group length that reaches too far", part10(unnamed_length(struct.pack("<I", 9999)), plain, data_set())),
        vector("meta_of_length_0", "a group length of 0: the meta ends with its group",
               part10(unnamed_length(bytes(4)), plain, data_set())),
        vector("no_syntax", "an empty transfer syntax", part10(meta(""), data_set()), "missing_transfer_syntax_uid", "broken"),
        vector("no_meta", "nothing of group 0002", part10(data_set()), "missing_file_meta", "broken"),
        vector("directory", "a DICOMDIR", part10(meta(x02=("UI", DICOMDIR)), data_set()), "dicomdir", "directory"),
        vector("empty", "no bytes", [], "empty_file", "empty"),
        vector("text", "no DICOM at all", [(b"[autorun]\r\n", 40)], "not_dicom", "not_dicom"),
        vector("cut_in_meta", "the end is missing", [(b"\0", 128), (b"DICM" + meta()[:40], 1)], "truncated", "broken"),
        vector("cut_before_study", "the end is missing", [(b"\0", 128), (b"DICM" + meta() + data_set()[:-20], 1)], "truncated", "broken"),
    ]  # fmt: skip


def values() -> list[dict[str, Any]]:
    private = header(0x00091001, "OB", 70_000), header(0x00091002, "OB", 5_000_000)
    before, after = data_set()[: len(elements(BEFORE))], elements(AFTER)
    return [
        vector("out_of_order", "the patient behind everything else",
               part10(meta(), elements(BEFORE), elements({tag: AFTER[tag] for tag in sorted(AFTER, reverse=True)}))),
        vector("uids_padded", "UIDs padded by space and by NUL",
               part10(meta(), data_set(x0020000D=("UI", FACTS["study_instance_uid"] + "  "), x00080018=("UI", FACTS["sop_instance_uid"] + "\0\0")))),
        vector("many_frames", "one object, many frames", part10(meta(), data_set(x00280008=("IS", "600"))), frames="600"),
        vector("long_private_value", "the study is named behind the first 64 KiB",
               [*part10(meta(), before, private[0]), (b"\1", 70_000), (after, 1)]),
        vector("longer_private_value", "the study is named behind the first 4 MiB",
               [*part10(meta(), before, private[1]), (b"\1", 5_000_000), (after, 1)]),
    ]  # fmt: skip


def names() -> list[dict[str, Any]]:
    """Names as the same text in both. A text that can't be decoded is another story in each: none is here."""
    written = {
        "latin_1": ("ISO_IR 100", "M\u00fcller^J\u00f6rg".encode("latin-1"), "M\u00fcller^J\u00f6rg"),
        "utf_8": ("ISO_IR 192", "\u738b^\u5c0f\u6771".encode(), "\u738b^\u5c0f\u6771"),
        "cyrillic": ("ISO_IR 144", "\u0418\u0432\u0430\u043d".encode("iso8859_5"), "\u0418\u0432\u0430\u043d"),
        "greek": ("ISO_IR 126", "\u0394\u03b9\u03bf\u03bd".encode("iso8859_7"), "\u0394\u03b9\u03bf\u03bd"),
        "chinese": ("GB18030", "\u738b^\u5c0f".encode("gb18030"), "\u738b^\u5c0f"),
        "japanese": ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"),
        "korean": ("\\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^Gildong=\u6d2a^\u5409\u6d1e"),
    }  # fmt: skip
    return [
        vector(f"name_{name}", f"a name in {term}",
               part10(meta(), data_set(x00080005=("CS", term), x00100010=("PN", raw))), patient_name=text)
        for name, (term, raw, text) in written.items()
    ]  # fmt: skip


def document() -> str:
    """The file's text."""
    groups = (encodings, values_without_length, representations, metas, values, names)
    vectors = [one for group in groups for one in group()]
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in vectors)
    return f'{{\n"about": {json.dumps(ABOUT)},\n"vectors": [\n{lines}\n]\n}}\n'


if __name__ == "__main__":
    print(document(), end="")
