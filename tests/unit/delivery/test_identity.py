"""Whose study it is: what holds an upload and what only warns."""

from __future__ import annotations

import pytest

from gateway.delivery.identity import declared_mismatches, hold_reasons, same_name
from hooks.contract import Facts, PatientRecord


def facts(**values):
    given = {
        "patient_id": "P1",
        "patient_name": "DOE^JANE",
        "patient_birth_date": "19700101",
        "modality": "CT",
    } | values
    return Facts("1.2", "1.3", "1.4", "1.5", "1.6", **given)


def test_one_patient_who_is_unknown_to_the_pacs_may_go():
    assert hold_reasons(instances=[facts(), facts()]) == ()


@pytest.mark.parametrize(
    "other",
    [
        {"patient_id": "P2"},
        {"issuer_of_patient_id": "B"},
        {"patient_birth_date": "19700102"},
        {"patient_name": "ROE^RICHARD"},
        {"patient_id": "", "patient_name": "ROE^RICHARD"},
    ],
)
def test_two_patients_in_one_upload_are_held(other):
    assert hold_reasons(
        instances=[facts(issuer_of_patient_id="A"), facts(**{"issuer_of_patient_id": "A"} | other)]
    ) == ("two_patients",)


@pytest.mark.parametrize(
    "other",
    [
        {"patient_name": "Doe^Jane^Mary"},
        {"patient_name": ""},
        {"patient_birth_date": ""},
        {"patient_id": ""},
        {"patient_id": "P1 "},
    ],
)
def test_the_same_patient_written_differently_is_one(other):
    assert hold_reasons(instances=[facts(), facts(**other)]) == ()


def test_a_hundred_patients_are_held_without_comparing_all_pairs():
    assert hold_reasons(instances=[facts(patient_name=f"DOE^JANE^{n}") for n in range(100)]) == ("two_patients",)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("DOE^JANE", "doe^jane", True),
        ("DOE^JANE", "Doe Jane", True),
        ("DOE^JANE", "Jane Doe", True),
        ("DOE^JANE^^DR", "DOE^JANE", True),
        ("MÜLLER^ZOË", "Muller^Zoe", True),
        ("O'NEIL^ANN", "O NEIL^ANN", True),
        ("", "DOE^JANE", True),
        ("M?LLER^JAN", "MULLER^JAN", True),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山田^太郎", True),
        ("DOE^JANE", "DOE^JOHN", False),
        ("DOE^JANE", "ROE^JANE", False),
        ("山田^太郎", "山田^花子", False),
    ],
)
def test_names(one, other, same):
    assert same_name(one, other) is same
    assert same_name(other, one) is same


@pytest.mark.parametrize(
    ("declared", "reasons"),
    [
        ({"patient_id": "P1", "patient_birth_date": "1970-01-01"}, ()),
        ({"patient_id": "P9"}, ("patient_id_mismatch",)),
        ({"patient_birth_date": "1971-01-01"}, ("birth_date_mismatch",)),
        ({"patient_name": "SOMEBODY^ELSE", "modality": "MR"}, ()),
        ({"patient_id": " "}, ()),
        ({}, ()),
    ],
)
def test_a_declared_id_or_birth_date_against_the_files_holds(declared, reasons):
    assert hold_reasons(instances=[facts()], declared=declared) == reasons


def test_a_file_without_the_declared_value_contradicts_nothing_but_an_expected_one_it_must_have():
    nameless = [facts(patient_id="", patient_birth_date="")]
    told = {"patient_id": "P1", "patient_birth_date": "19700101", "accession_number": "A1"}
    assert hold_reasons(instances=nameless, declared=told) == ()
    assert hold_reasons(instances=nameless, expected=told) == (
        "patient_id_mismatch",
        "birth_date_mismatch",
        "accession_number_mismatch",
    )


def test_expected_values_that_all_files_have_let_it_go():
    expected = {"patient_id": "P1", "patient_birth_date": "19700101", "accession_number": "A1"}
    assert hold_reasons(instances=[facts(accession_number="A1")], expected=expected) == ()


@pytest.mark.parametrize(
    ("record", "held"),
    [
        (PatientRecord("P1", "DOE^JANE", "19700101"), False),
        (PatientRecord("P1", "", ""), False),
        (PatientRecord("P1", "DOE^JANE", "19500101"), True),
        (PatientRecord("P1", "ROE^RICHARD", "19700101"), True),
        (PatientRecord("P2", "ROE^RICHARD", "19500101"), False),
    ],
)
def test_a_patient_id_that_belongs_to_somebody_else_in_the_pacs_holds(record, held):
    assert hold_reasons(instances=[facts()], by_patient_id=[record]) == (("pacs_patient_conflict",) if held else ())


@pytest.mark.parametrize(("patient_id", "held"), [("P1", False), ("", False), ("P2", True)])
def test_an_accession_number_on_another_patient_holds(patient_id, held):
    records = [PatientRecord(patient_id, "DOE^JANE", "19700101")]
    reasons = hold_reasons(instances=[facts(accession_number="A1")], by_accession_number=records)
    assert reasons == (("accession_conflict",) if held else ())


def test_every_contradicted_field_is_named_and_no_value():
    declared = {"patient_name": "ROE^R", "study_date": "2024-01-02", "accession_number": "A2", "patient_sex": "F"}
    found = declared_mismatches(declared, [facts(study_date="20240101", accession_number="A1")])
    assert found == ("patient_name", "accession_number", "study_date")


def test_a_report_beside_the_images_is_no_other_modality():
    assert declared_mismatches({"modality": "ct"}, [facts(), facts(modality="SR")]) == ()
    assert declared_mismatches({"modality": "MR"}, [facts(), facts(modality="SR")]) == ("modality",)
