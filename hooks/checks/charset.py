"""Text of a data set by its SpecificCharacterSet (PS3.3 C.12.1.1.2, PS3.5 section 6.1). Pure; never raises.

Meant for names that are compared, not for display to the last stroke: what can't be decoded becomes U+FFFD; a
question mark is a question mark.
"""

from __future__ import annotations

import re

#: Defined terms without code extensions, and those whose extension element switches G1.
CODECS = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    "ISO_IR 100": "iso8859_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 166": "tis_620",
    "ISO_IR 203": "iso8859_15",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 192": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}

#: Escape sequence -> codec of the bytes behind it (PS3.3 tables C.12-3 and C.12-4).
ESCAPES = {
    b"\x1b(B": "ascii",
    b"\x1b-A": "iso8859_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso8859_7",
    b"\x1b-G": "iso8859_6",
    b"\x1b-H": "iso8859_8",
    b"\x1b-L": "iso8859_5",
    b"\x1b-M": "iso8859_9",
    b"\x1b-T": "tis_620",
    b"\x1b-b": "iso8859_15",
    b"\x1b(J": "shift_jis",
    b"\x1b)I": "shift_jis",
    b"\x1b$B": "iso2022_jp",
    b"\x1b$(D": "iso2022_jp_1",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "gb2312",
}
#: Codecs that want their escape sequence with the bytes.
WITH_ESCAPE = frozenset({"iso2022_jp", "iso2022_jp_1"})
#: A run that starts anew: PS3.5 section 6.1.2.5.3 resets at these in a name.
RUN = re.compile(rb"(\x1b[$(\-)][()]?[A-Za-z])")


#: A defined term however it is spelled: `ISO 2022 IR 87`, `ISO_IR 100`, `ISO IR 192`, `ISO-IR 100`.
_TERM = re.compile(r"ISO[ _-]*(?:2022[ _-]*)?IR[ _-]*([0-9]{1,3})", re.IGNORECASE)


def decode(value: bytes, specific_character_set: bytes) -> str:
    """Text of a value, without its padding.

    :param specific_character_set: value of (0008,0005), terms separated by backslashes.
    """
    return _decoded(value, specific_character_set)


def decode_for_certain(value: bytes, specific_character_set: bytes) -> str | None:
    """`decode`, where no byte had to be guessed at; None: one had to.

    Of an attribute with one value, to be declared by whoever sends the file: two values (a backslash) are no certain one.
    """
    text = _decoded(value, specific_character_set)
    return None if "\ufffd" in text or "\\" in text else text


def _decoded(value: bytes, specific_character_set: bytes) -> str:
    """With U+FFFD for what can't be decoded."""
    codec = CODECS.get(_defined_term(specific_character_set), "ascii")
    pieces = RUN.split(value)
    text = _run(pieces[0], codec)
    for escape, run in zip(pieces[1::2], pieces[2::2], strict=True):
        named = ESCAPES.get(escape, codec)
        text += _run(escape + run if named in WITH_ESCAPE else run, named, codec)
    return text.strip("\0 ")


def _defined_term(specific_character_set: bytes) -> str:
    """The first term, as PS3.3 C.12.1.1.2 spells those without code extensions."""
    term = specific_character_set.decode("ascii", "replace").split("\\")[0].strip("\0 ")
    found = _TERM.fullmatch(term)
    return f"ISO_IR {int(found[1])}" if found else term.upper()


def _run(run: bytes, codec: str, initial: str = "ascii") -> str:
    """One run; a delimiter ends what an escape sequence switched on."""
    if codec in {"euc_kr", "gb2312"} and b"^" in run:
        first, _, rest = run.partition(b"^")
        return first.decode(codec, "replace") + "^" + rest.decode(initial if initial != "ascii" else codec, "replace")
    return run.decode(codec, "replace")
