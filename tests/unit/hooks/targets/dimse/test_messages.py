"""Command sets, identifiers and fragments: what goes out is what DICOM's own tools read, and no bytes break the reader."""

from __future__ import annotations

import contextlib
import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pynetdicom.dsutils import encode

from hooks.contract import OutcomeKind, TargetDown
from hooks.targets.dimse import identifier
from hooks.targets.dimse.association import MessageReader
from hooks.targets.dimse.command import Command, CommandField, NotDimse, Tag, encoded
from hooks.targets.dimse.status import outcome_of, refused_context
from hooks.targets.qido import patient_of


def test_a_command_set_is_what_pydicom_reads():
    values: dict[Tag, int | str] = {
        Tag.COMMAND_FIELD: CommandField.C_STORE_RQ, Tag.MESSAGE_ID: 7, Tag.AFFECTED_SOP_INSTANCE_UID: "1.2.3", Tag.PRIORITY: 1
    }  # fmt: skip
    raw = encoded(values)
    read = read_dataset(BytesIO(raw), is_implicit_VR=True, is_little_endian=True)
    assert read[0x00000000].value == len(raw) - 12
    assert (read[0x00000100].value, read[0x00000110].value, read[0x00001000].value) == (1, 7, "1.2.3")


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader_of_commands(raw):
    with contextlib.suppress(NotDimse):
        Command(raw)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader_of_identifiers(raw):
    with contextlib.suppress(NotDimse):
        identifier.record_of(raw)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_no_bytes_break_the_reader_of_fragments(bodies):
    reader = MessageReader()
    with contextlib.suppress(TargetDown):
        for body in bodies:
            reader.take(body)


def test_an_answer_may_come_in_many_fragments():
    command = encoded({Tag.COMMAND_FIELD: CommandField.C_FIND_RSP, Tag.DATA_SET_TYPE: 1, Tag.STATUS: 0xFF00})
    reader = MessageReader()

    def value(content: bytes, flags: int) -> bytes:
        return struct.pack(">IBB", len(content) + 2, 5, flags) + content

    assert reader.take(value(command[:10], 1) + value(command[10:], 3)) is None
    assert reader.take(value(b"ab", 0)) is None
    message = reader.take(value(b"cd", 2))
    assert message is not None
    assert (message.context_id, message.data_set, message.command.number(Tag.STATUS)) == (5, b"abcd", 0xFF00)


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 192", "Müller^山田"), ("ISO_IR 100", "Müller^Jörg"), ("ISO_IR 144", "Иванов^Иван"), ("", "DOE^JANE")],
)
def test_an_answer_is_read_in_its_own_letters(charset, name):
    answer = Dataset()
    answer.SpecificCharacterSet = charset
    answer.PatientName, answer.PatientID, answer.PatientBirthDate = name, "4711", "19700101"
    answer.StudyInstanceUID, answer.OtherPatientIDs = "1.2.3", ["a", "b"]
    item = Dataset()
    item.LocalNamespaceEntityID = "LAB"
    answer.IssuerOfAccessionNumberSequence = [item]
    raw = encode(answer, True, True)
    assert raw is not None
    found = patient_of(identifier.record_of(raw))
    assert (found.patient_name, found.patient_id, found.patient_birth_date) == (name, "4711", "19700101")
    assert (found.study_instance_uid, found.other_patient_ids) == ("1.2.3", "a\\b")
    assert found.issuer_of_accession_number == "LAB"


def test_a_question_is_what_pydicom_reads():
    keys = {0x00100020: "Ä1", 0x0020000D: "1.2.3", 0x00100010: ""}
    read = read_dataset(BytesIO(identifier.encoded(keys, "STUDY")), is_implicit_VR=True, is_little_endian=True)
    read.decode()
    assert (read.QueryRetrieveLevel, read.PatientID, read.StudyInstanceUID) == ("STUDY", "Ä1", "1.2.3")
    assert [element.tag for element in read] == sorted(element.tag for element in read)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (0x0000, OutcomeKind.STORED), (0xB000, OutcomeKind.STORED), (0xB007, OutcomeKind.STORED),
        (0x0107, OutcomeKind.STORED), (0xA700, OutcomeKind.BUSY), (0x0213, OutcomeKind.BUSY),
        (0x0111, OutcomeKind.DUPLICATE), (0x0110, OutcomeKind.DOUBTFUL), (0xA900, OutcomeKind.FAILED),
        (0xC000, OutcomeKind.FAILED), (0x0122, OutcomeKind.FAILED), (0x0124, OutcomeKind.FAILED),
        (0xFF00, OutcomeKind.FAILED),
    ],
)  # fmt: skip
def test_a_status_is_an_outcome(status, kind):
    told = outcome_of(status)
    assert told.kind is kind
    assert status in {told.reason, told.warning, 0}


def test_a_context_that_is_refused_says_which_half_of_it():
    assert refused_context(3).reason == 0x0122
    assert refused_context(4).reason == 0xC122
