"""What an answer to STOW-RS means, over the matrix of what archives were seen to say."""

from __future__ import annotations

import json
from email.utils import formatdate
from time import time

import pytest

from hooks.contract import BatchTooLarge, Outcome, OutcomeKind, TargetDown, TargetMisconfigured
from hooks.targets.reasons import kind_of
from hooks.targets.stow_response import MAX_BODY_BYTES, outcomes, seconds_of
from tests.dicom_samples import as_instance, study
from tests.unit.hooks.targets.scripted_pacs import DICOM_JSON, stow_answer

SENT = [as_instance(data, name) for data, name in zip(study(3), "abc", strict=True)]
UID = {instance.instance_id: instance.sop_instance_uid for instance in SENT}
UNKNOWN = Outcome(OutcomeKind.UNKNOWN)
STORED = Outcome(OutcomeKind.STORED)


def says(status, answer, content_type=DICOM_JSON, retry_after=""):
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return outcomes(status, content_type, body, SENT, retry_after)


def test_instances_that_are_named_are_stored():
    assert says(200, stow_answer(dict.fromkeys(UID.values()))) == dict.fromkeys("abc", STORED)


def test_a_full_disk_that_answers_200_stores_nothing():
    assert says(200, stow_answer()) == dict.fromkeys("abc", UNKNOWN)


@pytest.mark.parametrize(
    "content_type", ["", "application/dicom+json, text/plain"], ids=["Orthanc 1.10", "Orthanc 1.12"]
)
def test_a_batch_with_one_bad_part_keeps_its_good_ones_though_the_status_is_400(content_type):
    answer = says(400, stow_answer({UID["a"]: None, UID["c"]: None}), content_type)
    assert answer == {"a": STORED, "b": UNKNOWN, "c": STORED}


def test_failures_by_name_are_final_and_lack_of_resources_is_not():
    failed = {UID["a"]: 0xC000, UID["b"]: 0xA700, UID["c"]: 0x0110}
    assert says(409, stow_answer(failed=failed)) == {
        "a": Outcome(OutcomeKind.FAILED, reason=0xC000),
        "b": Outcome(OutcomeKind.BUSY, reason=0xA700),
        "c": Outcome(OutcomeKind.DOUBTFUL, reason=0x0110),
    }


def test_a_failure_without_a_reason_is_a_failure():
    assert says(409, stow_answer(failed={UID["a"]: None}))["a"] == Outcome(OutcomeKind.FAILED)


def test_the_standards_partial_success_202_is_read_instance_by_instance():
    answer = says(202, stow_answer({UID["a"]: 0xB000}, {UID["b"]: 0x0122}))
    assert answer["a"] == Outcome(OutcomeKind.STORED, warning=0xB000)
    assert answer["b"] == Outcome(OutcomeKind.FAILED, reason=0x0122)
    assert answer["c"] == UNKNOWN


def test_an_instance_called_stored_and_failed_is_unknown():
    assert says(202, stow_answer({UID["a"]: None}, {UID["a"]: 0x0110}))["a"] == UNKNOWN


def test_uids_that_were_not_sent_change_nothing():
    assert says(200, stow_answer({"1.2.3": None})) == dict.fromkeys("abc", UNKNOWN)


def test_a_reason_written_as_text_is_read_as_a_number():
    answer = stow_answer(failed={UID["a"]: 0})
    answer["00081198"]["Value"][0]["00081197"]["Value"] = ["43008"]
    assert says(409, answer)["a"].reason == 43008


@pytest.mark.parametrize("reason", [True, -1, 70000, None, [1], "x", 1.5])
def test_a_reason_that_is_none_is_left_out(reason):
    answer = stow_answer(failed={UID["a"]: 0})
    answer["00081198"]["Value"][0]["00081197"]["Value"] = [reason]
    assert says(409, answer)["a"] == Outcome(OutcomeKind.FAILED)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 405, 406, 407, 411, 415, 501])
def test_what_no_waiting_mends_is_the_configurations_fault(status):
    with pytest.raises(TargetMisconfigured) as raised:
        says(status, stow_answer(dict.fromkeys(UID.values())))
    assert raised.value.code == f"http_{status}"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 507])
def test_a_busy_or_broken_target_is_down(status):
    with pytest.raises(TargetDown) as raised:
        says(status, b"", retry_after="17")
    assert (raised.value.code, raised.value.retry_after_s) == (f"http_{status}", 17.0)


def test_a_500_that_names_instances_speaks_of_them():
    assert says(500, stow_answer(failed={UID["a"]: 0x0110}))["a"] == Outcome(OutcomeKind.DOUBTFUL, reason=0x0110)
    with pytest.raises(TargetDown):
        says(500, stow_answer(failed={"1.2.3": 0x0110}))


def test_413_asks_for_smaller_batches():
    with pytest.raises(BatchTooLarge):
        says(413, b"<html>too large</html>", content_type="text/html")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html>Welcome</html>"),
        ("text/html, application/dicom+json", b"<html>Welcome</html>"),
        ("", b""),
        (DICOM_JSON, b""),
        (DICOM_JSON, b"{}"),
        (DICOM_JSON, b"null"),
        (DICOM_JSON, b"[]"),
        (DICOM_JSON, b'{"status": "ok"}'),
        (DICOM_JSON, b"[" * 200_000),
        (DICOM_JSON, b"\xff\xfe\x00"),
        ("application/dicom+xml", b"<NativeDicomModel/>"),
        (DICOM_JSON, b" " * (MAX_BODY_BYTES + 1)),
    ],
)
def test_200_that_is_no_account_of_the_batch_is_no_success(content_type, body):
    with pytest.raises(TargetDown) as raised:
        says(200, body, content_type=content_type)
    assert raised.value.code == "not_dicom_json"


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_refusal_without_an_account_leaves_every_instance_unknown(status):
    """One bad part may have caused it: the others must not wait for it."""
    assert says(status, b'{"HttpStatus": 400, "Message": "Bad file format"}') == dict.fromkeys("abc", UNKNOWN)


@pytest.mark.parametrize(
    "sequence",
    [None, 1, "x", [], {"vr": "SQ"}, {"Value": 1}, {"Value": [1, None, {}, {"00081155": 5}]},
     {"Value": [{"00081155": {"Value": [7]}}]}],
)  # fmt: skip
def test_malformed_sequences_name_nobody(sequence):
    assert says(200, {"00081199": sequence, "00081198": sequence}) == dict.fromkeys("abc", UNKNOWN)


def test_an_array_of_one_data_set_is_taken():
    assert says(200, [stow_answer({UID["b"]: None})])["b"] == STORED


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("5", 5.0), ("99999999999", 3600.0), ("soon", None), ("-1", None)]
)
def test_retry_after_in_seconds(text, seconds):
    assert seconds_of(text) == seconds


def test_retry_after_as_a_date():
    found = seconds_of(formatdate(time() + 100, usegmt=True))
    assert found is not None
    assert 95 < found <= 100


NAMELESS = {"0008119A": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA900]}}]}}


def test_a_failure_that_names_nobody_is_that_of_the_only_instance_sent():
    alone = outcomes(409, "application/dicom+json", json.dumps(NAMELESS).encode(), SENT[:1])
    assert alone == {SENT[0].instance_id: Outcome(OutcomeKind.FAILED, reason=0xA900)}
    together = outcomes(409, "application/dicom+json", json.dumps(NAMELESS).encode(), SENT)
    assert {outcome.kind for outcome in together.values()} == {OutcomeKind.UNKNOWN}


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (0x0111, OutcomeKind.DUPLICATE),
        (45070, OutcomeKind.DUPLICATE),
        (45071, OutcomeKind.BUSY),
        (0xA700, OutcomeKind.BUSY),
        (0xA778, OutcomeKind.FAILED),
        (0x0110, OutcomeKind.DOUBTFUL),
        (0xC000, OutcomeKind.FAILED),
        (None, OutcomeKind.FAILED),
    ],
)
def test_a_reason_means_what_its_maker_says(reason, kind):
    assert kind_of(reason) is kind


XML = (
    '<?xml version="1.0"?><NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
    '<DicomAttribute tag="00081199" vr="SQ"><Item number="1"><DicomAttribute tag="00081155" vr="UI">'
    '<Value number="1">{uid}</Value></DicomAttribute></Item></DicomAttribute></NativeDicomModel>'
)


def test_an_answer_in_xml_is_read():
    body = XML.replace("{uid}", SENT[0].sop_instance_uid).encode()
    assert outcomes(200, "application/dicom+xml", body, SENT[:1])[SENT[0].instance_id].kind is OutcomeKind.STORED


@pytest.mark.parametrize("body", ["<html/>", "<a", "<!DOCTYPE x [<!ENTITY a 'b'>]>" + XML, XML[:-30]])
def test_other_xml_is_no_answer(body):
    with pytest.raises(TargetDown):
        outcomes(200, "application/dicom+xml", body.encode(), SENT[:1])
