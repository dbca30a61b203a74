"""Whose study is it? Decides whether an upload waits for a person before anything of it is sent. Pure.

docs/identity.md is the page of this module: what is compared with what, what holds, what warns, what can't be known.
No answer holds a value, only codes and names of fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.delivery.person import (
    Match,
    Person,
    Verdict,
    compare_dates,
    compare_ids,
    compare_issuers,
    compare_persons,
    digits_of_date,
    has_several_values,
    ids_of,
    share_an_id,
)
from gateway.delivery.person_names import Likeness, compare_names
from hooks.contract import Facts, PatientRecord

#: Declared fields that can be compared with a file, and where it says it.
COMPARABLE = {
    "patient_id": "patient_id",
    "patient_birth_date": "patient_birth_date",
    "patient_name": "patient_name",
    "accession_number": "accession_number",
    "study_instance_uid": "study_instance_uid",
    "study_date": "study_date",
    "modality": "modality",
}
PATIENT_FIELDS = frozenset({"patient_id", "patient_birth_date", "patient_name"})
#: Longest declared value that is looked at.
MAX_DECLARED = 256

#: What the PACS may have against it.
PACS_HOLDS = ("pacs_patient_conflict", "accession_conflict", "pacs_study_conflict")

#: More different patients than this in one upload needn't be compared pair by pair.
MANY_PATIENTS = 20


@dataclass(frozen=True, slots=True)
class Known:
    """What the PACS, or an upload that is on its way to it, has.

    :param by_patient_id: whoever it found under the files' PatientIDs.
    :param by_accession_number: under the files' accession numbers.
    :param by_study: under the files' StudyInstanceUIDs.
    """

    by_patient_id: tuple[PatientRecord, ...] = ()
    by_accession_number: tuple[PatientRecord, ...] = ()
    by_study: tuple[PatientRecord, ...] = ()

    def __add__(self, other: Known) -> Known:
        return Known(
            self.by_patient_id + other.by_patient_id,
            self.by_accession_number + other.by_accession_number,
            self.by_study + other.by_study,
        )


@dataclass(frozen=True, slots=True)
class Identified:
    """What came of it: codes of docs/identity.md."""

    holds: tuple[str, ...] = ()
    unconfirmed: bool = False  #: nothing speaks against it, and there is too little to compare
    otherwise_written: bool = False  #: ID and birth date agree; name or sex are written otherwise


def reasons_within(
    *,
    instances: Sequence[Facts],
    declared: Mapping[str, str] | None = None,
    expected: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Why the upload must be held, whatever the PACS has; empty: it may go.

    :param instances: what the check learned of each instance of the upload.
    :param declared: `study_metadata` of the upload; only patient_id and patient_birth_date hold. Leave it out where
        the configuration says that a mismatch warns or rejects.
    :param expected: what the QR code was made for. A file that lacks an expected value is a mismatch, too.
    :returns: two_patients, several_values, patient_id_mismatch, birth_date_mismatch, accession_number_mismatch.
    """
    declared, expected = declared or {}, expected or {}
    differing = {name for name in ("patient_id", "patient_birth_date") if _is_contradicted(name, declared, instances)}
    unexpected = _unmet(expected, instances)
    reasons = {
        "two_patients": _more_than_one_patient(instances),
        "several_values": any(_is_ambiguous(facts) for facts in instances),
        "patient_id_mismatch": "patient_id" in differing | unexpected,
        "birth_date_mismatch": "patient_birth_date" in differing | unexpected,
        "accession_number_mismatch": "accession_number" in unexpected,
    }
    return tuple(code for code, given in reasons.items() if given)


def compare_with(known: Known, instances: Sequence[Facts]) -> Identified:
    """Whether what the PACS has contradicts the files, bears them out, or neither.

    :returns: its `holds` are pacs_patient_conflict, accession_conflict, pacs_study_conflict.
    """
    comparison = _AgainstPacs(known)
    for facts in dict.fromkeys(instances):
        comparison.add(facts)
    holds = tuple(code for code, given in comparison.holds.items() if given)
    return Identified(holds, comparison.unconfirmed, comparison.otherwise_written)


_ByKey = dict[str, dict[tuple[Person, str], None]]


class _AgainstPacs:
    """Of all files of an upload with what the PACS has.

    An upload may have thousands of studies, and the PACS as many: a file is compared with the records of its own number
    and study alone, and a person with them once.
    """

    def __init__(self, known: Known) -> None:
        self.holds = dict.fromkeys(PACS_HOLDS, False)
        self.unconfirmed = False
        self.otherwise_written = False
        self._by_id = list(dict.fromkeys(map(person_of_record, known.by_patient_id)))
        #: Persons, and who gave out the number; an empty key: the PACS doesn't say which number, or study, it is.
        self._by_number: _ByKey = {}
        self._by_study: _ByKey = {}
        for record in known.by_accession_number:
            there = self._by_number.setdefault(record.accession_number.strip(), {})
            there[person_of_record(record), record.issuer_of_accession_number] = None
        for record in known.by_study:
            self._by_study.setdefault(record.study_instance_uid, {})[person_of_record(record), ""] = None
        self._under_ids: dict[Person, set[Verdict]] = {}
        self._under_keys: dict[tuple[str, str, Person, str], set[Verdict]] = {}

    def add(self, facts: Facts) -> None:
        """One file."""
        mine = person_of(facts)
        if mine not in self._under_ids:
            verdicts = [self._under_id(mine, theirs) for theirs in self._by_id]
            self._under_ids[mine] = {verdict for verdict in verdicts if verdict is not None}
        told = self._under_ids[mine] | self._under_number(mine, facts) | self._under_study(mine, facts)
        confirmed = told & {Verdict.CONFIRMED, Verdict.CONFIRMED_OTHERWISE_WRITTEN}
        self.otherwise_written |= Verdict.CONFIRMED_OTHERWISE_WRITTEN in told and Verdict.CONFIRMED not in told
        # A PatientID that the PACS doesn't have yet is a new patient: nobody to be taken for. Without one, who it is
        # can only be told by what is there already.
        self.unconfirmed |= not confirmed and (Verdict.UNKNOWN in told or not ids_of(mine))

    def _under_id(self, mine: Person, theirs: Person) -> Verdict | None:
        if compare_ids(mine.patient_id, theirs.patient_id) not in {Match.SAME, Match.ALIKE}:
            return None
        verdict = compare_persons(mine, theirs)
        self.holds["pacs_patient_conflict"] |= verdict is Verdict.SOMEBODY_ELSE
        return verdict

    def _under_number(self, mine: Person, facts: Facts) -> set[Verdict]:
        number, issuer = facts.accession_number.strip(), facts.issuer_of_accession_number
        if not number:
            return set()
        there = self._by_number
        return self._under("accession_conflict", there, number, mine, issuer) | self._under(
            "accession_conflict", there, "", mine, issuer
        )

    def _under_study(self, mine: Person, facts: Facts) -> set[Verdict]:
        there, uid = self._by_study, facts.study_instance_uid
        return self._under("pacs_study_conflict", there, uid, mine) | self._under(
            "pacs_study_conflict", there, "", mine
        )

    def _under(self, code: str, there: _ByKey, key: str, mine: Person, issuer: str = "") -> set[Verdict]:
        """The PACS has the number, or the study, `key` with whom it has: that has to be `mine`."""
        asked = (code, key, mine, issuer)
        if asked not in self._under_keys:
            told = self._under_keys[asked] = {
                _of_what_is_there(mine, theirs)
                for theirs, other in there.get(key, ())
                if compare_issuers(issuer, other) is not Match.DIFFERENT
            }
            self.holds[code] |= Verdict.SOMEBODY_ELSE in told
        return self._under_keys[asked]


def _of_what_is_there(mine: Person, theirs: Person) -> Verdict:
    """Under a number, or in a study: it has to be one person."""
    ids = compare_ids(mine.patient_id, theirs.patient_id)
    if ids is Match.DIFFERENT and not share_an_id(mine, theirs):
        verdict = Verdict.SOMEBODY_ELSE
    else:
        verdict = compare_persons(mine, theirs)
        if ids is Match.UNKNOWN and verdict is Verdict.CONFIRMED and not _is_full(mine, theirs):
            verdict = Verdict.UNKNOWN  # a name alone is borne by many
        elif ids is Match.SAME and verdict is Verdict.UNKNOWN:
            verdict = Verdict.CONFIRMED  # two identifiers that have nothing to do with each other agree
    return verdict


def _is_full(mine: Person, theirs: Person) -> bool:
    """Without an ID on both sides it takes name and full birth date."""
    name = compare_names(mine.patient_name, theirs.patient_name)
    birth = compare_dates(mine.patient_birth_date, theirs.patient_birth_date)
    return birth is Match.SAME and name in {Likeness.SAME, Likeness.COMPATIBLE}


def person_of(facts: Facts) -> Person:
    """Of a file."""
    return Person(
        facts.patient_id,
        facts.patient_name,
        facts.patient_birth_date,
        facts.patient_sex,
        facts.issuer_of_patient_id,
        facts.other_patient_ids,
    )


def person_of_record(record: PatientRecord) -> Person:
    """Of what the PACS answered."""
    return Person(
        record.patient_id,
        record.patient_name,
        record.patient_birth_date,
        record.patient_sex,
        record.issuer_of_patient_id,
        record.other_patient_ids,
    )


# -- within the upload


def declared_mismatches(declared: Mapping[str, str], instances: Sequence[Facts]) -> tuple[str, ...]:
    """Names of the declared fields that the files contradict (the warning `study_metadata_mismatch`).

    The patient's fields must agree with every file; those of a study, of which an upload may have several, with one
    at least. A file that doesn't have the value contradicts nothing; fields that files aren't asked for are passed
    over. A birth date that is none agrees with nothing.
    """
    return tuple(field for field in COMPARABLE if _is_contradicted(field, declared, instances, odd=True))


def _is_contradicted(name: str, told: Mapping[str, str], instances: Sequence[Facts], *, odd: bool = False) -> bool:
    """:param odd: a value that can't be one counts as a contradiction."""
    value = told.get(name, "")[:MAX_DECLARED].strip()
    if not value or not instances:
        return False
    if name == "modality":
        there = {facts.modality.strip().upper() for facts in instances}
        return "" not in there and not _modalities(value) <= there
    matches = [_compare(name, value, getattr(facts, COMPARABLE[name])) for facts in instances]
    if odd and name == "patient_birth_date" and not digits_of_date(value):
        return True
    many = any if name in PATIENT_FIELDS else all
    return many(match is Match.DIFFERENT for match in matches)


def _modalities(text: str) -> set[str]:
    """`PT, CT` are two, whatever joins them."""
    return {word.upper() for word in re.split(r"[\s,;/\\+&]+", text) if word}


def _unmet(expected: Mapping[str, str], instances: Sequence[Facts]) -> set[str]:
    """Fields that a file contradicts, lacks, or has in a way that can't be compared."""
    met = {Match.SAME}
    return {
        name
        for name, attribute in COMPARABLE.items()
        if (value := expected.get(name, "").strip())
        and not all(_compare(name, value, getattr(facts, attribute)) in met for facts in instances)
    }


def _compare(name: str, one: str, other: str) -> Match:
    if name == "patient_birth_date":
        return compare_dates(one, other)
    if name == "study_date":
        one, other = re.sub(r"\D", "", one), re.sub(r"\D", "", other)
    elif name == "patient_name":
        likeness = compare_names(one, other)
        if likeness is None:
            return Match.UNKNOWN
        return Match.SAME if likeness >= Likeness.SIMILAR else Match.DIFFERENT
    one, other = one.strip(), other.strip()
    if not one or not other:
        return Match.UNKNOWN
    return Match.SAME if one == other else Match.DIFFERENT


def _is_ambiguous(facts: Facts) -> bool:
    """One value belongs there (PS3.6): of two, each reader may take another."""
    single = (facts.patient_id, facts.patient_birth_date, facts.patient_name, facts.accession_number)
    return any(has_several_values(value) for value in single)


def _more_than_one_patient(instances: Sequence[Facts]) -> bool:
    patients = list(dict.fromkeys(person_of(facts) for facts in instances))
    if len(patients) > MANY_PATIENTS:
        return True
    return any(not _same_patient(one, other) for index, one in enumerate(patients) for other in patients[index + 1 :])


def _same_patient(one: Person, other: Person) -> bool:
    """Two files of one upload; two without any ID must at least not contradict each other."""
    ids = compare_ids(one.patient_id, other.patient_id)
    if compare_issuers(one.issuer_of_patient_id, other.issuer_of_patient_id) is Match.DIFFERENT:
        return False
    if ids is Match.DIFFERENT and not share_an_id(one, other):
        return False
    verdict = compare_persons(one, other)
    return verdict is not Verdict.SOMEBODY_ELSE and not (ids is Match.ALIKE and verdict is Verdict.UNKNOWN)
