"""Questions to archives that refuse some of them: smaller, plainer, and in the end an honest answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hooks.contract import LookupRefused, TargetDown, TargetMisconfigured
from hooks.targets.stow import DicomWebTarget
from tests.unit.hooks.targets.scripted_pacs import Call, ScriptedPacs, scripted


def query(call: Call) -> dict[str, str]:
    return dict(pair.partition("=")[::2] for pair in call.path.partition("?")[2].split("&") if pair)


def study(patient_id="P1", name="DOE^JANE", uid="1.2", **more):
    values = {"00100020": patient_id, "00100030": "19700101", "0020000D": uid} | more
    found = {tag: {"vr": "LO", "Value": [value]} for tag, value in values.items()}
    return found | {"00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]}}


def target(pacs: ScriptedPacs, **more) -> DicomWebTarget:
    return DicomWebTarget(pacs.url, **more)


def refusing(status=400, *, most=10**9, words=(), records=()):
    """Refuses a limit over `most`, and these parameters."""

    def script(call: Call) -> None:
        asked = query(call)
        if int(asked.get("limit", 0)) > most or set(words) & asked.keys():
            call.answer(status)
        else:
            call.answer_json(200, list(records)[int(asked.get("offset", 0)) :])

    return script


@pytest.mark.parametrize("status", [400, 413, 414, 422, 409])
@pytest.mark.parametrize(("most", "words"), [(199, ()), (50, ()), (10**9, ("includefield",)), (10**9, ("limit", "offset", "includefield"))])  # fmt: skip
def test_a_query_that_is_refused_is_asked_again_smaller_and_plainer_and_that_is_remembered(status, most, words):
    with scripted(refusing(status, most=most, words=words, records=[study()])) as pacs:
        to = target(pacs, page_size=1000)
        assert [found.patient_id for found in to.patients(patient_id="P1")] == ["P1"]
        needed = len(pacs.calls)
        assert [found.patient_id for found in to.patients(patient_id="P1")] == ["P1"]
        assert len(pacs.calls) < 2 * needed, "what was taken is remembered"


def test_an_archive_that_takes_no_filter_is_looked_through_if_it_is_small():
    def script(call: Call) -> None:
        if "PatientID" in query(call):
            call.answer(400)
        else:
            call.answer_json(200, [study("P1"), study("P2", uid="1.3")][int(query(call).get("offset", 0)) :])

    with scripted(script) as pacs:
        assert [found.patient_id for found in target(pacs).patients(patient_id="P2")] == ["P2"]


def test_an_archive_that_takes_no_filter_and_is_large_cannot_be_asked():
    def script(call: Call) -> None:
        asked = query(call)
        first = int(asked.get("offset", 0))
        if "PatientID" in asked:
            call.answer(422)
        else:
            call.answer_json(200, [study(f"P{n}", uid=f"1.{n}") for n in range(first, first + int(asked["limit"]))])

    with scripted(script) as pacs, pytest.raises(LookupRefused):
        target(pacs).patients(patient_id="P1")


@pytest.mark.parametrize("status", [403, 405, 406, 501])
def test_some_answers_say_that_it_cannot_be_asked_at_all_and_are_not_asked_again(status):
    with scripted(lambda call: call.answer(status)) as pacs:
        with pytest.raises(LookupRefused):
            target(pacs).patients(patient_id="P1")
        assert len(pacs.calls) == 1


@pytest.mark.parametrize("status", [401, 407])
def test_only_missing_credentials_stop_an_endpoint(status):
    with scripted(lambda call: call.answer(status)) as pacs, pytest.raises(TargetMisconfigured):
        target(pacs).patients(patient_id="P1")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_archive_is_down_and_not_asked_more_plainly(status):
    with scripted(lambda call: call.answer(status)) as pacs:
        with pytest.raises(TargetDown):
            target(pacs).patients(patient_id="P1")
        assert len(pacs.calls) == 1


ASKS = {
    "patients": lambda to: to.patients(patient_id="P1"),
    "present": lambda to: to.present("1.2", ["1.3"]),
    "shows": lambda to: to.shows("1.4"),
}


@pytest.mark.parametrize("name", ASKS)
def test_404_is_none_where_a_query_without_a_filter_is_answered_and_nobody_where_it_is_not(name):
    def none_is_404(call: Call) -> None:
        plain = call.path.partition("?")[0].endswith("/dicom-web/studies") and not {"PatientID"} & query(call).keys()
        call.answer(200 if plain else 404, b"[]" if plain else b"")

    with scripted(none_is_404) as pacs:
        assert not ASKS[name](target(pacs))
    with scripted(lambda call: call.answer(404)) as pacs, pytest.raises(LookupRefused) as raised:
        ASKS[name](target(pacs))
    assert raised.value.code == "http_404"


def test_xml_whatever_was_asked_is_no_answer_to_a_query():
    with scripted(lambda call: call.answer(200, b"<NativeDicomModel/>", "application/dicom+xml")) as pacs:
        with pytest.raises(LookupRefused) as raised:
            target(pacs).patients(patient_id="P1")
        assert raised.value.code == "not_dicom_json"


def test_an_archive_that_caps_its_pages_is_asked_on():
    many = [study("P1", uid=f"1.{n}") for n in range(7)] + [study("P1", "ROE^RICHARD", uid="1.9")]

    def script(call: Call) -> None:
        first = int(query(call).get("offset", 0))
        call.answer_json(200, many[first : first + 4])

    with scripted(script) as pacs:
        assert {found.patient_name for found in target(pacs).patients(patient_id="P1")} == {"DOE^JANE", "ROE^RICHARD"}


def latin_archive(*, wildcards: bool, held: str = "PT1"):
    """It has left the Ä out, and finds neither the letter nor `?` in its place."""

    def script(call: Call) -> None:
        wanted = query(call).get("PatientID")
        hit = wanted is None or (wildcards and wanted in {"P*T1", "*"})
        call.answer_json(200, [study(held)] if hit and not query(call).get("offset") else [])

    return script


def test_letters_beyond_ascii_are_asked_for_by_a_star_and_compared_here():
    with scripted(latin_archive(wildcards=True)) as pacs:
        assert [found.patient_id for found in target(pacs).patients(patient_id="PÄT1")] == ["PT1"]
    with scripted(latin_archive(wildcards=True, held="PXYZQ1")) as pacs:
        assert target(pacs).patients(patient_id="PÄT1") == []


def test_an_archive_without_wildcards_cannot_be_asked_for_such_letters():
    with scripted(latin_archive(wildcards=False)) as pacs, pytest.raises(LookupRefused) as raised:
        target(pacs).patients(patient_id="PÄT1")
    assert raised.value.code == "no_wildcards"


def test_an_archive_without_studies_has_nobody():
    with scripted(lambda call: call.answer_json(200, [])) as pacs:
        assert target(pacs).patients(patient_id="PÄT1") == []


def test_all_that_a_record_says_of_the_patient_is_told():
    told = study(
        patient_id="P1", **{"00100040": "F", "00100021": "OURS", "00101000": "X1", "00080050": "A1"}
    )  # fmt: skip
    told["00101002"] = {"vr": "SQ", "Value": [{"00100020": {"vr": "LO", "Value": ["X2"]}}]}
    told["00080051"] = {"vr": "SQ", "Value": [{"00400031": {"vr": "UT", "Value": ["RIS"]}}]}
    with scripted(lambda call: call.answer_json(200, [told] if "offset" not in call.path else [])) as pacs:
        [found] = target(pacs).patients(study_instance_uid="1.2")
    assert (found.patient_sex, found.issuer_of_patient_id, found.other_patient_ids) == ("F", "OURS", "X1\\X2")
    assert (found.accession_number, found.issuer_of_accession_number, found.study_instance_uid) == ("A1", "RIS", "1.2")


def test_two_values_are_told_as_two():
    record = study()
    record["00100020"]["Value"] = ["P1", "X"]
    with scripted(lambda call: call.answer_json(200, [record] if "offset" not in call.path else [])) as pacs:
        assert [found.patient_id for found in target(pacs).patients(study_instance_uid="1.2")] == ["P1\\X"]


def paths(pacs: ScriptedPacs) -> Iterator[str]:
    for call in pacs.calls:
        yield call.path.partition("/dicom-web")[2]


def test_a_probe_sends_the_queries_of_a_delivery():
    with scripted(lambda call: call.answer_json(200, [])) as pacs:
        target(pacs).probe()
        asked = list(paths(pacs))
    assert any("PatientID=" in path and "limit=200" in path for path in asked)
    assert any("AccessionNumber=" in path for path in asked)
    assert any("StudyInstanceUID=" in path for path in asked)
    assert any("/series/" in path and path.partition("?")[0].endswith("/instances") for path in asked)


def test_a_probe_says_which_query_is_refused():
    def script(call: Call) -> None:
        if "AccessionNumber" in call.path or (call.path.partition("?")[0].endswith("/dicom-web/studies") and not {"PatientID", "StudyInstanceUID"} & query(call).keys()):  # fmt: skip
            call.answer(400)
        else:
            call.answer_json(200, [])

    with scripted(script) as pacs, pytest.raises(LookupRefused) as raised:
        target(pacs).probe()
    assert "accession number (http_400)" in raised.value.code
