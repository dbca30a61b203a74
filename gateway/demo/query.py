"""QIDO-RS matching (PS3.18 section 8.3.4, PS3.4 annex C.2.2.2): pure, from a query string to SQL conditions on a value.

Knows nothing of HTTP beyond a list of names and values, and nothing of the catalogue's tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from gateway.demo.dicom_json import ALL_TAGS

#: What can be matched: what the index has, and what is counted from it.
KEYWORD_TAGS = {**ALL_TAGS, "ModalitiesInStudy": "00080061"}
_NOT_ATTRIBUTES = frozenset({"includefield", "fuzzymatching", "emptyvaluematching", "multiplevaluematching"})


class BadQuery(Exception):
    """The query can't be read. The text names the parameter's kind, not its value."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. `ignored`: an attribute was named that the archive doesn't index."""

    patterns: tuple[tuple[str, str], ...]
    offset: int = 0
    limit: int | None = None
    ignored: bool = False


def parse(parameters: Iterable[tuple[str, str]]) -> Query:
    """Read the query string's parameters.

    :raises BadQuery: a number isn't one, or an attribute isn't in the data dictionary.
    """
    patterns: list[tuple[str, str]] = []
    numbers: dict[str, int] = {}
    ignored = False
    for name, value in parameters:
        if name in {"limit", "offset"}:
            if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
                raise BadQuery(f"{name} must be a whole number")
            numbers[name] = int(value)
        elif name in _NOT_ATTRIBUTES:
            continue
        elif (tag := _tag(name)) in KEYWORD_TAGS.values():
            if value:  # an empty value matches all (PS3.4 C.2.2.2.3)
                patterns.append((tag, value))
        else:
            ignored = True
    return Query(tuple(patterns), numbers.get("offset", 0), numbers.get("limit"), ignored)


def condition(tag: str, pattern: str, *, column: str) -> tuple[str, list[str]]:
    """SQL that is true where a value, as `searchable` gives it, fits the pattern: a list of UIDs, a range of dates, `*` and
    `?`, or itself. And what is bound in it.
    """
    vr = dictionary_VR(int(tag, 16))
    if vr == "UI":
        uids = re.split(r"[,\\]", pattern)
        return f"{column} IN ({', '.join('?' * len(uids))})", uids
    if vr in {"DA", "TM"} and "-" in pattern:
        first, _, last = pattern.partition("-")
        bounds = [(f"{column} >= ?", first), (f"{column} <= ?", last)]
        asked = [(sql, value) for sql, value in bounds if value]
        return " AND ".join(sql for sql, _ in asked) or "1", [value for _, value in asked]
    if vr == "PN":
        pattern = pattern.casefold()
    if not re.search(r"[*?]", pattern):
        return f"{column} = ?", [pattern]
    return f"{column} GLOB ?", [pattern.replace("[", "[[]")]


def searchable(tag: str, value: Any) -> str:
    """A value as it is looked for: of persons, case doesn't count."""
    text = _text(value)
    return text.casefold() if dictionary_VR(int(tag, 16)) == "PN" else text


def element(vr: str, values: Sequence[Any]) -> dict[str, Any]:
    """One element of DICOM JSON."""
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def _tag(name: str) -> str:
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        return name.upper()
    if "." in name:  # inside a sequence: nothing of that is indexed
        return ""
    number = tag_for_keyword(name)
    if number is None:
        raise BadQuery("an attribute that the DICOM data dictionary doesn't have")
    return f"{number:08X}"


def _text(value: Any) -> str:
    if isinstance(value, dict):  # a person's name (PS3.18 F.2.2)
        return str(value.get("Alphabetic", "")).rstrip("^")
    return str(value)
