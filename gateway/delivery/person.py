"""Are two records one person's? Pure; docs/identity.md has the rules.

An absent, odd or placeholder value is never an agreement: what can't be compared is told as that.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from enum import Enum, auto

from gateway.delivery.name_letters import LOST
from gateway.delivery.person_names import Likeness, compare_names

#: VR LO has 64 characters (PS3.5 table 6.2-1); nothing longer is compared.
MAX_ID = 64
_DATE = re.compile(r"(\d{4})(?:(\d{2})(?:(\d{2}))?|[.\-/](\d{1,2})(?:[.\-/](\d{1,2}))?)?")
#: Birth dates that are written where nobody knew one.
PLACEHOLDER_DATES = frozenset(
    {"19000101", "18000101", "17000101", "18991230", "18991231", "00010101", "11111111", "99991231"}
)
#: Nobody is older.
OLDEST_YEARS = 130
SEXES = frozenset("MF")


class Match(Enum):
    """What a comparison of two values found."""

    SAME = auto()
    ALIKE = auto()  #: one is less of the other, or differs in nothing that tells persons apart
    DIFFERENT = auto()
    UNKNOWN = auto()  #: there is nothing to compare


@dataclass(frozen=True, slots=True)
class Person:
    """Who somebody is, as one side has it; empty: it doesn't say. IDs with several values: by backslash."""

    patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    issuer_of_patient_id: str = ""
    other_patient_ids: str = ""


class Verdict(Enum):
    """Whether two who have one PatientID are one person."""

    CONFIRMED = auto()
    CONFIRMED_OTHERWISE_WRITTEN = auto()  #: ID and birth date agree; name or sex are written otherwise
    UNKNOWN = auto()  #: nothing speaks against it, and too little for it
    SOMEBODY_ELSE = auto()


def compare_persons(one: Person, other: Person) -> Verdict:
    """By name, birth date, sex and the ID's issuer, where both have them; the ID itself is known to agree."""
    birth = compare_dates(one.patient_birth_date, other.patient_birth_date)
    name = compare_names(one.patient_name, other.patient_name)
    sex = compare_sexes(one.patient_sex, other.patient_sex)
    issuer = compare_issuers(one.issuer_of_patient_id, other.issuer_of_patient_id)
    if birth is Match.DIFFERENT or name is Likeness.DIFFERENT:
        return Verdict.SOMEBODY_ELSE
    if name is Likeness.FAMILY_DIFFERS and birth is not Match.SAME:
        return Verdict.SOMEBODY_ELSE
    if sex is Match.DIFFERENT and (name is not Likeness.SAME or birth is not Match.SAME):
        return Verdict.SOMEBODY_ELSE
    if birth is Match.SAME:
        verdict = Verdict.CONFIRMED
        if name in {Likeness.FAMILY_DIFFERS, Likeness.SIMILAR} or sex is Match.DIFFERENT:
            verdict = Verdict.CONFIRMED_OTHERWISE_WRITTEN
    elif name is Likeness.SAME or (name is Likeness.COMPATIBLE and birth is Match.ALIKE):
        verdict = Verdict.CONFIRMED
    else:
        verdict = Verdict.UNKNOWN
    if issuer is Match.DIFFERENT and not (birth is Match.SAME and name is not None):
        return Verdict.SOMEBODY_ELSE  # the same number, given out by somebody else
    return verdict


def compare_dates(one: str, other: str) -> Match:
    """Two birth dates. A year or a year with its month agrees with the dates in it, and is no full agreement."""
    mine, theirs = digits_of_date(one), digits_of_date(other)
    if not mine or not theirs:
        return Match.UNKNOWN
    if mine == theirs:
        return Match.SAME if len(mine) == 8 else Match.ALIKE
    short, long = sorted((mine, theirs), key=len)
    return Match.ALIKE if len(short) < len(long) and long.startswith(short) else Match.DIFFERENT


def digits_of_date(text: str) -> str:
    """`YYYYMMDD`, `YYYYMM` or `YYYY` of a date as DICOM, ISO 8601 or ACR-NEMA write it; empty: it says nothing."""
    found = _DATE.fullmatch(text.strip("\0 "))
    if found is None or text.strip("\0 ") in PLACEHOLDER_DATES:
        return ""
    year, month, day = found[1], found[2] or found[4] or "", found[3] or found[5] or ""
    month, day = month.zfill(2) if month else "", day.zfill(2) if day else ""
    if not date.today().year - OLDEST_YEARS <= int(year) <= date.today().year + 1:  # noqa: DTZ011 # the day doesn't matter
        return ""
    if month in {"", "00"}:
        return year if day in {"", "00"} else ""
    if not 1 <= int(month) <= 12:
        return ""
    if day in {"", "00"}:
        return year + month
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return ""
    return "" if year + month + day in PLACEHOLDER_DATES else year + month + day


def compare_sexes(one: str, other: str) -> Match:
    """By PatientSex; O and whatever else is there says nothing."""
    mine, theirs = one.strip("\0 ").upper(), other.strip("\0 ").upper()
    if mine not in SEXES or theirs not in SEXES:
        return Match.UNKNOWN
    return Match.SAME if mine == theirs else Match.DIFFERENT


def compare_issuers(one: str, other: str) -> Match:
    """Who gave out an identifier, by the text alone."""
    mine, theirs = one.strip("\0 ").casefold(), other.strip("\0 ").casefold()
    if not mine or not theirs:
        return Match.UNKNOWN
    return Match.SAME if mine == theirs else Match.DIFFERENT


def compare_ids(one: str, other: str) -> Match:
    """Two identifiers. Alike: but for case, leading zeros, or letters that one side's character set hasn't."""
    mine, theirs = _id(one), _id(other)
    if not mine or not theirs:
        return Match.UNKNOWN
    if mine == theirs:
        return Match.SAME
    if _plain_id(mine) == _plain_id(theirs) or _loses_letters(mine, theirs) or _loses_letters(theirs, mine):
        return Match.ALIKE
    return Match.DIFFERENT


def ids_of(person: Person) -> list[str]:
    """All identifiers of one person, without empty ones."""
    values = [person.patient_id, *person.other_patient_ids.split("\\")]
    return [value for value in (_id(value) for value in values) if value]


def share_an_id(one: Person, other: Person) -> bool:
    """One of all of the identifiers of one is among the other's."""
    return not set(ids_of(one)).isdisjoint(ids_of(other))


def has_several_values(text: str) -> bool:
    """Where one value belongs: a reader may take the first, the last or all of them."""
    return len([value for value in text.split("\\") if value.strip("\0 ")]) > 1


def _id(text: str) -> str:
    return unicodedata.normalize("NFC", text[:MAX_ID].strip("\0 "))


def _plain_id(text: str) -> str:
    return text.casefold().lstrip("0") or "0"


def _loses_letters(full: str, poor: str) -> bool:
    """`poor` is `full` with each letter beyond ASCII (or Latin-1) left out or replaced by one that stands for it."""
    limit = "\u007f" if poor.isascii() else "\u00ff"
    if not any(letter > limit for letter in full) or sum(letter not in LOST for letter in poor) < 2:
        return False
    # Every place in `poor` that can be reached, letter by letter: an expression would try each way to each of them.
    plain, places = [letter.casefold() for letter in poor], {0}
    for letter in full:
        if letter > limit:
            one = {place + 1 for place in places if place < len(poor)}
            two = {
                place + 2 for place in places if len(poor) >= place + 2 and set(poor[place : place + 2]) <= set(LOST)
            }
            places |= one | two
        else:
            folded = letter.casefold()
            places = {place + 1 for place in places if place < len(poor) and plain[place] == folded}
    return len(poor) in places
