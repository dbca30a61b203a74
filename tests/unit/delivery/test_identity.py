"""Whose study it is: what holds an upload and what only warns."""

from __future__ import annotations

import pytest

from gateway.delivery.identity import Known, compare_with, declared_mismatches, reasons_within
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
    assert reasons_within(instances=[facts(), facts()]) == ()


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
    assert reasons_within(
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
    assert reasons_within(instances=[facts(), facts(**other)]) == ()


def test_a_hundred_patients_are_held_without_comparing_all_pairs():
    assert reasons_within(instances=[facts(patient_name=f"DOE^JANE^{n}") for n in range(100)]) == ("two_patients",)


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
    assert reasons_within(instances=[facts()], declared=declared) == reasons


def test_a_file_without_the_declared_value_contradicts_nothing_but_an_expected_one_it_must_have():
    nameless = [facts(patient_id="", patient_birth_date="")]
    told = {"patient_id": "P1", "patient_birth_date": "19700101", "accession_number": "A1"}
    assert reasons_within(instances=nameless, declared=told) == ()
    assert reasons_within(instances=nameless, expected=told) == (
        "patient_id_mismatch",
        "birth_date_mismatch",
        "accession_number_mismatch",
    )


def test_expected_values_that_all_files_have_let_it_go():
    expected = {"patient_id": "P1", "patient_birth_date": "19700101", "accession_number": "A1"}
    assert reasons_within(instances=[facts(accession_number="A1")], expected=expected) == ()


def held(instances, **known) -> tuple[str, ...]:
    return compare_with(Known(**known), instances).holds


@pytest.mark.parametrize(
    ("record", "codes"),
    [
        (PatientRecord("P1", "DOE^JANE", "19700101"), ()),
        (PatientRecord("P1", "", ""), ()),
        (PatientRecord("P1", "DOE^JANE", "19500101"), ("pacs_patient_conflict",)),
        (PatientRecord("P1", "ROE^RICHARD", "19700101"), ("pacs_patient_conflict",)),
        (PatientRecord("P2", "ROE^RICHARD", "19500101"), ()),
        (PatientRecord("P1", "DOE^JANE", "19700101", issuer_of_patient_id="B"), ()),
        (PatientRecord("P1", "", "", issuer_of_patient_id="B"), ("pacs_patient_conflict",)),
        (PatientRecord("P1", "DOE^JANE", "", patient_sex="M"), ("pacs_patient_conflict",)),
    ],
)
def test_a_patient_id_that_belongs_to_somebody_else_in_the_pacs_holds(record, codes):
    assert held([facts(issuer_of_patient_id="A", patient_sex="F")], by_patient_id=(record,)) == codes


JANE = {"patient_name": "DOE^JANE", "patient_birth_date": "19700101"}
RICHARD = {"patient_name": "ROE^RICHARD", "patient_birth_date": "19550505"}


@pytest.mark.parametrize(
    ("ours", "theirs", "codes"),
    [
        ({}, {"patient_id": "P1", **JANE}, ()),
        ({}, {"patient_id": "P2", **JANE}, ("conflict",)),
        ({}, {"patient_id": "P2", **JANE, "other_patient_ids": "X\\P1"}, ()),
        ({"other_patient_ids": "P2"}, {"patient_id": "P2", **JANE}, ()),
        ({}, {"patient_id": "", **JANE}, ()),
        ({}, {"patient_id": "", **RICHARD}, ("conflict",)),
        ({"patient_id": ""}, {"patient_id": "P2", **JANE}, ()),
        ({"patient_id": ""}, {"patient_id": "P2", **RICHARD}, ("conflict",)),
        ({}, {"patient_id": "P1", **RICHARD}, ("conflict",)),
    ],
)
def test_an_accession_number_or_a_study_of_another_patient_holds(ours, theirs, codes):
    file = facts(accession_number="A1", **ours)
    record = PatientRecord(**theirs, accession_number="A1", study_instance_uid=file.study_instance_uid)
    assert held([file], by_accession_number=(record,)) == tuple(f"accession_{code}" for code in codes)
    assert held([file], by_study=(record,)) == tuple(f"pacs_study_{code}" for code in codes)


@pytest.mark.parametrize(
    ("issuer", "codes"), [("OURS", ("accession_conflict",)), ("THEIRS", ()), ("", ("accession_conflict",))]
)
def test_the_same_number_given_out_by_somebody_else_is_another_number(issuer, codes):
    file = facts(accession_number="A1", issuer_of_accession_number="OURS")
    record = PatientRecord("P2", "ROE^RICHARD", "", accession_number="A1", issuer_of_accession_number=issuer)
    assert held([file], by_accession_number=(record,)) == codes


def test_another_number_or_study_that_an_archive_tells_as_well_contradicts_nothing():
    file = facts(accession_number="A1")
    other = PatientRecord("P2", "ROE^RICHARD", "", accession_number="A2", study_instance_uid="9.9")
    assert held([file], by_accession_number=(other,), by_study=(other,)) == ()


@pytest.mark.parametrize(
    ("ours", "known", "unconfirmed"),
    [
        ({}, {}, False),
        ({"patient_id": ""}, {}, True),
        ({"patient_name": "", "patient_birth_date": ""}, {}, False),
        ({"patient_name": "", "patient_birth_date": ""}, {"by_patient_id": PatientRecord("P1", "DOE^JANE", "19700101")}, True),
        ({"patient_name": "", "patient_birth_date": ""}, {"by_study": PatientRecord("P1", "DOE^JANE", "19700101")}, False),
        ({"patient_id": ""}, {"by_study": PatientRecord("P1", "DOE^JANE", "19700101")}, False),
        ({"patient_id": ""}, {"by_study": PatientRecord("P1", "DOE^JANE", "")}, True),
        ({"patient_id": ""}, {"by_study": PatientRecord("P1", "", "19700101")}, True),
    ],
)  # fmt: skip
def test_where_there_is_nothing_to_compare_it_is_said(ours, known, unconfirmed):
    found = compare_with(Known(**{name: (record,) for name, record in known.items()}), [facts(**ours)])
    assert found.holds == ()
    assert found.unconfirmed is unconfirmed


@pytest.mark.parametrize("field", ["patient_id", "patient_birth_date", "patient_name", "accession_number"])
def test_two_values_where_one_belongs_are_held(field):
    assert reasons_within(instances=[facts(**{field: "P1\\X"})]) == ("several_values",)


def test_every_contradicted_field_is_named_and_no_value():
    declared = {"patient_name": "ROE^R", "study_date": "2024-01-02", "accession_number": "A2", "patient_sex": "F"}
    found = declared_mismatches(declared, [facts(study_date="20240101", accession_number="A1")])
    assert found == ("patient_name", "accession_number", "study_date")


def test_a_birth_date_that_is_none_agrees_with_nothing():
    assert declared_mismatches({"patient_birth_date": "unknown"}, [facts()]) == ("patient_birth_date",)
    assert reasons_within(instances=[facts()], declared={"patient_birth_date": "unknown"}) == ()
    assert reasons_within(instances=[facts()], expected={"patient_birth_date": "unknown"}) == ("birth_date_mismatch",)


def test_modalities_are_compared_as_sets():
    both = [facts(modality="PT"), facts(modality="CT")]
    assert declared_mismatches({"modality": "PT, CT"}, both) == ()
    assert declared_mismatches({"modality": "CT\\PT"}, both) == ()
    assert declared_mismatches({"modality": "CT"}, both) == ()
    assert declared_mismatches({"modality": "PT, MR"}, both) == ("modality",)


def test_a_report_beside_the_images_is_no_other_modality():
    assert declared_mismatches({"modality": "ct"}, [facts(), facts(modality="SR")]) == ()
    assert declared_mismatches({"modality": "MR"}, [facts(), facts(modality="SR")]) == ("modality",)


@pytest.mark.parametrize("declared", ["PT\\CT", "CT\\PT", "ct \\ pt", "PT, CT", "PT", "CT\\"])
def test_the_modalities_of_a_study_are_declared_as_a_set(declared):
    assert declared_mismatches({"modality": declared}, [facts(modality="PT"), facts(modality="CT")]) == ()


def test_each_modality_that_is_declared_is_a_files_own():
    of_both = [facts(modality="PT"), facts(modality="CT")]
    assert declared_mismatches({"modality": "PT\\MR"}, of_both) == ("modality",)
    assert declared_mismatches({"modality": "PT\\CT"}, [facts(modality="CT")]) == ("modality",)
    assert declared_mismatches({"modality": "PT\\CT"}, [facts(modality="CT"), facts(modality="")]) == ()
