"""Whose study is it? Decides whether an upload waits for a person before anything of it is sent. Pure.

Names are compared leniently (two spellings of one name are daily bread), identifiers and birth dates strictly. No
answer holds a value, only codes and names of fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from gateway.unicode import without_marks
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
DATES = frozenset({"patient_birth_date", "study_date"})

#: More different patients than this in one upload needn't be compared pair by pair.
MANY_PATIENTS = 20


def hold_reasons(
    *,
    instances: Sequence[Facts],
    declared: Mapping[str, str] | None = None,
    expected: Mapping[str, str] | None = None,
    by_patient_id: Iterable[PatientRecord] = (),
    by_accession_number: Iterable[PatientRecord] = (),
) -> tuple[str, ...]:
    """Why the upload must be held; empty: it may go.

    :param instances: what the check learned of each instance of the upload.
    :param declared: `study_metadata` of the upload; only patient_id and patient_birth_date hold. Leave it out where
        the configuration says that a mismatch warns or rejects.
    :param expected: what the QR code was made for. A file that lacks an expected value is a mismatch, too.
    :param by_patient_id: who has the files' PatientIDs in the PACS.
    :param by_accession_number: who has the files' accession numbers in the PACS.
    :returns: codes of docs/validation.md: two_patients, patient_id_mismatch, birth_date_mismatch,
        accession_number_mismatch, pacs_patient_conflict, accession_conflict.
    """
    declared, expected = declared or {}, expected or {}
    differing = set(declared_mismatches(declared, instances))
    unexpected = _contradicted(expected, instances)
    reasons = {
        "two_patients": _more_than_one_patient(instances),
        "patient_id_mismatch": "patient_id" in differing | unexpected,
        "birth_date_mismatch": "patient_birth_date" in differing | unexpected,
        "accession_number_mismatch": "accession_number" in unexpected,
        "pacs_patient_conflict": _somebody_else(instances, by_patient_id),
        "accession_conflict": _on_another_patient(instances, by_accession_number),
    }
    return tuple(code for code, given in reasons.items() if given)


def declared_mismatches(declared: Mapping[str, str], instances: Sequence[Facts]) -> tuple[str, ...]:
    """Names of the declared fields that the files contradict (the warning `study_metadata_mismatch`).

    The patient's fields must agree with every file; those of a study, of which an upload may have several, with one
    at least. A file that doesn't have the value contradicts nothing; fields that files aren't asked for are passed
    over.
    """
    return tuple(
        field
        for field in COMPARABLE
        if not (all if field in PATIENT_FIELDS else any)(_agreements(field, declared, instances))
    )


def _contradicted(expected: Mapping[str, str], instances: Sequence[Facts]) -> set[str]:
    """Fields that a file contradicts or lacks."""
    return {
        field
        for field, attribute in COMPARABLE.items()
        if _clean(expected.get(field, ""))
        and not (
            all(_clean(getattr(facts, attribute)) for facts in instances)
            and all(_agreements(field, expected, instances))
        )
    }


def _agreements(field: str, told: Mapping[str, str], instances: Sequence[Facts]) -> list[bool]:
    """For each file, whether it agrees with what was told of the field; one True if nothing was told."""
    value = told.get(field, "")
    if not _clean(value) or not instances:
        return [True]
    return [_agree(field, value, getattr(facts, COMPARABLE[field])) for facts in instances]


def _agree(field: str, one: str, other: str) -> bool:
    """Whether two values may be the same thing; an absent one may be anything."""
    if field in DATES:
        one, other = _date(one), _date(other)
    elif field == "patient_name":
        return same_name(one, other)
    elif field == "modality":
        one, other = one.upper(), other.upper()
    one, other = _clean(one), _clean(other)
    return not one or not other or one == other


def same_name(one: str, other: str) -> bool:
    """Whether two person names may be one person's: case, accents, order, separators and missing parts don't count.

    The groups of a name (alphabetic=ideographic=phonetic, PS3.5 section 6.2.1) are compared each with each: one
    agreement is enough.
    """
    groups = [[words for group in name.split("=")[:3] if (words := _words(group))] for name in (one, other)]
    if not groups[0] or not groups[1]:
        return True
    return any(mine <= theirs or theirs <= mine for mine in groups[0] for theirs in groups[1])


def _words(name: str) -> set[str]:
    """Words of a name in plain small letters; what holds a `?` wasn't decoded and says nothing."""
    letters = without_marks(name.casefold())
    return {word for word in re.split(r"[\s^,.\-_']+", letters) if word and "?" not in word and "\ufffd" not in word}


def _more_than_one_patient(instances: Sequence[Facts]) -> bool:
    patients = list({
        (_clean(facts.patient_id), _clean(facts.issuer_of_patient_id), facts.patient_name, facts.patient_birth_date)
        for facts in instances
    })  # fmt: skip
    if len(patients) > MANY_PATIENTS:
        return True
    return any(not _same_patient(one, other) for index, one in enumerate(patients) for other in patients[index + 1 :])


def _same_patient(one: tuple[str, str, str, str], other: tuple[str, str, str, str]) -> bool:
    """ID, issuer, name, birth date; two without any ID must at least not contradict each other."""
    same_id = not one[0] or not other[0] or one[0] == other[0]
    same_issuer = not one[1] or not other[1] or one[1] == other[1]
    return same_id and same_issuer and same_name(one[2], other[2]) and _agree("patient_birth_date", one[3], other[3])


def _somebody_else(instances: Sequence[Facts], records: Iterable[PatientRecord]) -> bool:
    """The PACS has a file's PatientID for a person with another name or birth date."""
    return any(
        _clean(record.patient_id) == _clean(facts.patient_id)
        and not (
            same_name(record.patient_name, facts.patient_name)
            and _agree("patient_birth_date", record.patient_birth_date, facts.patient_birth_date)
        )
        for record in records
        for facts in _distinct(instances)
        if _clean(facts.patient_id)
    )


def _on_another_patient(instances: Sequence[Facts], records: Iterable[PatientRecord]) -> bool:
    """The PACS has a file's accession number on another PatientID."""
    ids = {_clean(facts.patient_id) for facts in instances if _clean(facts.accession_number)} - {""}
    return any(_clean(record.patient_id) not in ids for record in records if ids and _clean(record.patient_id))


def _distinct(instances: Sequence[Facts]) -> list[Facts]:
    """One instance for each patient as written."""
    return list({
        (facts.patient_id, facts.patient_name, facts.patient_birth_date): facts for facts in instances
    }.values())  # fmt: skip


def _date(text: str) -> str:
    """Digits of a date: DICOM's YYYYMMDD, ISO 8601's YYYY-MM-DD and ACR-NEMA's YYYY.MM.DD are one."""
    return re.sub(r"\D", "", text)


def _clean(text: str) -> str:
    return text.strip()
