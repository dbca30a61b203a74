"""Where in a folder an instance belongs: a template, filled with values that any file system takes. Pure.

Promises: two values that differ never give the same name, whatever had to be left out of them (an instance must not get
into another patient's folder); no value leads out of the folder; a name has at most 255 bytes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping

#: What a template may name, by its keyword in PS3.6, and which of `hooks.contract.Facts` that is.
FIELDS: Mapping[str, str] = {
    "AccessionNumber": "accession_number",
    "Modality": "modality",
    "PatientBirthDate": "patient_birth_date",
    "PatientID": "patient_id",
    "PatientName": "patient_name",
    "SOPClassUID": "sop_class_uid",
    "SOPInstanceUID": "sop_instance_uid",
    "SeriesInstanceUID": "series_instance_uid",
    "StudyDate": "study_date",
    "StudyDescription": "study_description",
    "StudyID": "study_id",
    "StudyInstanceUID": "study_instance_uid",
    "TransferSyntaxUID": "transfer_syntax_uid",
}
MAX_NAME_BYTES = 255
#: Of a value that an instance hasn't.
NOTHING = "~"

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PLAIN = re.compile(r"[A-Za-z0-9._ +=@,-]*")
#: Windows and SMB take none of these; `~` is our own mark.
_UNSAFE = frozenset('/\\:*?"<>|~')
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9\u00b9\u00b2\u00b3]|LPT[0-9\u00b9\u00b2\u00b3])(\..*)?", re.IGNORECASE)


def check_layout(layout: str) -> None:
    """:raises ValueError: it can't be a layout; the message says what to do."""
    if "{SOPInstanceUID}" not in layout:
        raise ValueError("must hold {SOPInstanceUID}: instances would overwrite each other")
    for name in _PLACEHOLDER.findall(layout):
        if name not in FIELDS:
            raise ValueError(f"takes {', '.join(f'{{{known}}}' for known in FIELDS)}")
    for part in layout.split("/"):
        plain = _PLACEHOLDER.sub("", part)
        if not part or not _PLAIN.fullmatch(plain) or part.startswith((".", " ")) or part.endswith((".", " ")):
            raise ValueError(
                "takes names between slashes, of ASCII letters, digits and .-_+=@, and placeholders, none of them "
                "beginning or ending with a dot or a space"
            )


def place_of(layout: str, fact: Callable[[str], str]) -> tuple[str, ...]:
    """The folders, and the file's name last, for an instance.

    :param layout: that `check_layout` takes.
    :param fact: name of a fact -> what it is of this instance.
    """

    def filled(match: re.Match[str]) -> str:
        return safe_name(fact(FIELDS[match[1]]))

    return tuple(_shortened(_PLACEHOLDER.sub(filled, part)) for part in layout.split("/"))


def safe_name(value: str) -> str:
    """`value` as a file's name, in its own letters; where something had to be left out, with a digest behind it.

    Letters in two forms of writing (NFC, NFD) and padding make no difference.
    """
    value = unicodedata.normalize("NFC", value).strip(" \0")
    if not value:
        return NOTHING
    name = "".join("_" if _is_unsafe(letter) else letter for letter in value)
    if name.startswith("."):
        name = "_" + name[1:]
    if name.endswith("."):
        name = name[:-1] + "_"
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    return name if name == value else f"{name}{_mark(value)}"


def _is_unsafe(letter: str) -> bool:
    """Control and format characters, surrogates, line and paragraph separators, and what file systems reserve."""
    return letter in _UNSAFE or unicodedata.category(letter)[0] == "C" or unicodedata.category(letter) in {"Zl", "Zp"}


def _shortened(name: str) -> str:
    """With what its end says (`.dcm`) and a digest of all of it, if it is too long."""
    raw = name.encode()
    if len(raw) <= MAX_NAME_BYTES:
        return name
    stem, dot, end = name.rpartition(".")
    tail = f"{_mark(name)}{dot}{end}" if stem and len(end.encode()) <= 16 else _mark(name)
    return raw[: MAX_NAME_BYTES - len(tail.encode())].decode("utf-8", "ignore") + tail


def _mark(value: str) -> str:
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"~{digest}"
