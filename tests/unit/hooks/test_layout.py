"""Values become names that any file system takes, and never each other's."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.layout import FIELDS, MAX_NAME_BYTES, check_layout, place_of, safe_name

LAYOUT = "{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm"


def placed(layout: str, **facts: str) -> str:
    return "/".join(place_of(layout, lambda name: facts.get(name, "")))


def test_plain_values_stand_as_they_are():
    facts = {"patient_id": "4711", "study_instance_uid": "1.2.3", "sop_instance_uid": "1.2.3.4"}
    assert placed(LAYOUT, **facts) == "4711/1.2.3/1.2.3.4.dcm"


@pytest.mark.parametrize("value", ["Müller", "山田", "Иванов", "عبد", "A-1_b (2)", "ÅÄÖ^x"])
def test_letters_of_every_alphabet_stand(value):
    assert safe_name(value) == value


@pytest.mark.parametrize(
    "value",
    ["..", ".", "../../etc/passwd", "a/b", "a\\b", "a\0b", "a\nb", "a:b", "a\u202eb", "\ud800", ".hidden", "end.",
     "CON", "nul", "com1.txt", "LPT9", "~", "a~b", "what?", "\u2028"],
)  # fmt: skip
def test_what_a_file_system_reserves_is_left_out_and_marked(value):
    name = safe_name(value)
    assert name != value
    assert "~" in name
    assert not set(name) & set('/\\\0\n:*?"<>|')
    assert not name.startswith(".")
    assert not name.endswith(".")


def test_padding_and_forms_of_writing_make_no_difference():
    assert safe_name(" 12 ") == safe_name("12") == "12"
    assert safe_name(unicodedata.normalize("NFD", "Müller")) == safe_name(unicodedata.normalize("NFC", "Müller"))


@given(st.text(max_size=80), st.text(max_size=80))
def test_two_values_never_share_a_name(one, other):
    same = unicodedata.normalize("NFC", one).strip(" \0") == unicodedata.normalize("NFC", other).strip(" \0")
    assert (safe_name(one) == safe_name(other)) is same


@given(st.text(max_size=600), st.text(max_size=600))
def test_no_value_leads_out_of_the_folder_or_is_too_long(patient_id, name):
    parts = place_of("{PatientID} {PatientName}/{SOPInstanceUID}.dcm", {
        "patient_id": patient_id, "patient_name": name, "sop_instance_uid": "1.2"
    }.__getitem__)  # fmt: skip
    assert len(parts) == 2
    for part in parts:
        assert part not in {"", ".", ".."}
        assert "/" not in part
        assert len(part.encode()) <= MAX_NAME_BYTES


def test_long_names_keep_their_end_and_differ():
    one, other = (placed("{PatientID}{SOPInstanceUID}.dcm", patient_id="x" * 300 + end) for end in "ab")
    assert one != other
    assert one.endswith(".dcm")
    assert len(one.encode()) == MAX_NAME_BYTES


def test_a_value_that_is_missing_has_a_name_of_its_own():
    assert placed("{PatientID}/{SOPInstanceUID}", sop_instance_uid="1.2") == "~/1.2"


@pytest.mark.parametrize(
    "layout",
    ["{PatientID}", "", "/{SOPInstanceUID}", "../{SOPInstanceUID}", "{SOPInstanceUID}/", "a//{SOPInstanceUID}",
     "{SOPInstanceUID}.", ".{SOPInstanceUID}", "{Nobody}/{SOPInstanceUID}", "{SOPInstanceUID", "a:{SOPInstanceUID}",
     "{SOPInstanceUID!r}", "{}{SOPInstanceUID}", "é{SOPInstanceUID}"],
)  # fmt: skip
def test_a_layout_that_could_lose_or_leave_something_is_refused(layout):
    with pytest.raises(ValueError, match=r"must hold|takes"):
        check_layout(layout)


def test_every_field_can_be_named():
    check_layout("/".join(f"{{{name}}}" for name in FIELDS))
