"""Malformed and hostile files through a running gateway: what docs/validation.md says becomes of each, and nothing else
does; the gateway, the archive and other uploads don't feel it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hooks.checks.scanner import scan
from hooks.contract import Accept
from tests.dicom_samples import HOSTILE, BytesSource, as_instance, element, instance, new_uid, smuggler, study
from tests.e2e.lab import Http, Lab, Pacs, running_lab
from tests.e2e.orthanc import PASSWORD, USER, Orthanc, running_orthanc
from tests.e2e.parrot import Exchange, Held, Parrot, told
from tests.e2e.series import sha256
from tests.e2e.test_real_series import digests_in
from tests.property.test_scanner_fuzz import fuzzed
from tests.scale import count
from tests.unit.hooks.checks.test_validation_docs import TWINS, malformed_files, rows

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("hostile_files")]

FUZZED = count(40, 2000)
#: The boundary of every request of a client in wide use.
PUBLIC_BOUNDARY = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
STATES = {"accepted": "stored", "rejected": "rejected", "skipped": "skipped"}
EXPECTED = {name: (STATES[outcome], code) for name, outcome, code in rows()}


@dataclass
class Scene:
    """A gateway with an Orthanc that only these tests have, and a scripted PACS beside it."""

    lab: Lab
    orthanc: Orthanc
    pacs: Parrot
    client: Http

    def send(self, files: list[bytes], endpoint: str = "main") -> tuple[str, Http]:
        """One complete upload; not waited for."""
        upload_id, client = self.lab.open_upload(self.client, files, endpoint_id=endpoint)
        for number, data in enumerate(files):
            client.create(len(data), {"file_id": f"f{number}"}, data).expect(201)
        client.complete(upload_id, wait_s=0).expect(200, 202)
        return upload_id, client

    def orthanc_lives(self) -> bool:
        """The process that was started is there, and answers."""
        process = self.orthanc.process
        return process is not None and process.poll() is None and self.orthanc.json("/system")["Name"] == "test"


def by_our_own_reader(exchange: Exchange) -> None:
    """Stores what is accepted by a reader that damaged files don't confuse."""
    body = exchange.read()
    boundary = body[: body.index(b"\r\n")]
    parts = [piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in body.split(boundary)[1:-1]]
    held = []
    for content in parts:
        one = as_instance(content)
        uids = (one.sop_instance_uid, one.sop_class_uid, one.study_instance_uid, one.series_instance_uid)
        held.append(Held(*uids, "", content, 0.0))
    exchange.store(held)
    exchange.answer(200, told(held))


class Reader(Parrot):
    """A scripted PACS that reads with `by_our_own_reader`."""

    def next_act(self) -> Any:
        return by_our_own_reader


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("hostile")
    with running_orthanc(folder) as orthanc, Reader() as pacs:
        settings: dict[str, dict[str, Any]] = {
            "endpoints.main": {"default": True, "identity": "as-is"},
            "endpoints.scripted": {"kind": "dicomweb", "url": pacs.url, "identity": "as-is"},
            "delivery": {"retry_base": "50ms"},
        }
        archive = Pacs(orthanc.dicomweb_url, USER, PASSWORD)
        with running_lab(folder / "gateway", archive, settings=settings) as lab:
            pid = lab.pid
            yield Scene(lab, orthanc, pacs, lab.login())
            assert lab.pid == pid
            assert lab.http.call("GET", "/readyz").status == 200


def files_of(client: Http, upload_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.call("GET", f"/upload/{upload_id}/files?limit=1000").expect(200).json["files"]
    return sorted(found, key=lambda one: int(one["file_id"].removeprefix("f")))


def real(name: str) -> bytes | None:
    """A file of the test data, where that is."""
    folder = os.environ.get("RELAYPACS_TEST_DATA")
    return (Path(folder) / "malformed" / name).read_bytes() if folder else None


# -- the table


def test_every_malformed_file_ends_as_the_page_says(scene: Scene):
    """Made in code, and the files themselves where they are; each an upload of its own."""
    sent = []
    for name, data in malformed_files():
        upload_id, client = scene.send([data])
        sent.append((name, data, upload_id, client))
        if name == "dup_uid_original.dcm":  # of two that come at once either may be the first
            client.outcome(upload_id)
    taken = []
    for name, data, upload_id, client in sent:
        status = client.outcome(upload_id)
        [file] = files_of(client, upload_id)
        state, code = EXPECTED[name]
        codes = [code] if code else []
        if name == "dup_uid_other_content.dcm":  # after dup_uid_original.dcm
            state, codes = "failed", ["uid_conflict"]
        assert (name, file["state"], [one["code"] for one in status["warnings"]]) == (name, state, codes)
        assert status["state"] == ("success" if state == "stored" else "failed"), name
        if state == "stored":
            taken.append(sha256(data))
        elif state != "skipped":
            assert file["code"] == codes[0], name
    assert digests_in(scene.orthanc) == sorted(taken)
    assert scene.orthanc_lives()


def test_the_page_and_the_folder_have_the_same_files():
    folder = os.environ.get("RELAYPACS_TEST_DATA")
    names = {path.name for path in (Path(folder) / "malformed").iterdir()} if folder else set(TWINS)
    assert names <= EXPECTED.keys()


def test_an_empty_file_is_left_out_and_spoils_nothing(scene: Scene):
    upload_id, client = scene.send([instance(), b""])
    assert client.outcome(upload_id)["state"] == "success"
    assert [file["state"] for file in files_of(client, upload_id)] == ["stored", "skipped"]


def test_hostile_files_among_good_ones_cost_only_themselves(scene: Scene):
    good = study(6)
    bad = [data for data, kind, _ in HOSTILE.values() if kind == "Reject"]
    junk = [data for data, kind, _ in HOSTILE.values() if kind == "Skip" and data]
    upload_id, client = scene.send([*good[:3], *bad, *junk, *good[3:]])
    assert client.outcome(upload_id)["state"] == "partial"
    states = [file["state"] for file in files_of(client, upload_id)]
    assert states == [*["stored"] * 3, *["rejected"] * len(bad), *["skipped"] * len(junk), *["stored"] * 3]
    assert set(map(sha256, good)) <= set(digests_in(scene.orthanc))
    assert not set(map(sha256, bad + junk)) & set(digests_in(scene.orthanc))
    assert scene.orthanc_lives()


# -- three that are made to hurt


def deep() -> list[bytes]:
    """Nested too deep in every encoding; the real one where it is."""
    made = [data for name, (data, _, code) in HOSTILE.items() if code == "nesting_too_deep"]
    return made + [data for data in [real("deep_nesting_60.dcm")] if data]


def test_what_is_nested_too_deep_never_leaves(scene: Scene):
    before = scene.pacs.stows
    sent = [(endpoint, *scene.send([data], endpoint)) for data in deep() for endpoint in ("main", "scripted")]
    for _, upload_id, client in sent:
        assert client.outcome(upload_id)["state"] == "failed"
        [file] = files_of(client, upload_id)
        assert (file["state"], file["code"]) == ("rejected", "nesting_too_deep")
    assert scene.pacs.stows == before, "not one request"
    assert scene.orthanc_lives()


def smugglers() -> dict[str, bytes]:
    made = smuggler(PUBLIC_BOUNDARY, instance(patient_id="SMUGGLED", patient_name="SMUGGLED"))
    found = {"made": made, "real": real("multipart_boundary_smuggle.dcm")}
    return {name: data for name, data in found.items() if data}


@pytest.mark.parametrize("name", smugglers())
def test_a_file_that_holds_a_boundary_stays_one_instance_of_its_own_patient(scene: Scene, name: str):
    data = smugglers()[name]
    scene.orthanc.clear()
    mine = scan(BytesSource(data))
    assert isinstance(mine, Accept)
    facts = mine.facts
    patient = {name: getattr(facts, name) for name in ("patient_id", "patient_name", "patient_birth_date")}
    upload_id, client = scene.send([data, *study(2, study_instance_uid=facts.study_instance_uid, **patient)])
    assert client.outcome(upload_id)["state"] == "success"
    patients = [one["MainDicomTags"]["PatientID"] for one in scene.orthanc.json("/patients?expand")]
    assert patients == [facts.patient_id]
    assert len(scene.orthanc.instances()) == 3
    assert sha256(data) in digests_in(scene.orthanc)


def two_patients() -> list[list[bytes]]:
    uid = new_uid()
    other = instance(study_instance_uid=uid, patient_id="TEST-2", patient_name="TEST^TWO")
    made = [instance(study_instance_uid=uid), other]
    of_data = [real("dup_uid_original.dcm"), real("same_study_other_patient.dcm")]
    return [made, *([[data for data in of_data if data]] if all(of_data) else [])]


def test_two_patients_in_one_upload_are_held_and_nothing_leaves(scene: Scene):
    for files in two_patients():
        before = len(scene.orthanc.instances())
        upload_id, client = scene.lab.open_upload(scene.client, files)
        for number, data in enumerate(files):
            client.create(len(data), {"file_id": f"f{number}"}, data).expect(201)
        client.complete(upload_id, wait_s=1).expect(202)
        assert client.status(upload_id)["state"] == "held"
        assert client.status(upload_id)["held_reasons"] == ["two_patients"]
        assert len(scene.orthanc.instances()) == before


# -- by chance


def test_damaged_files_are_judged_and_what_passes_arrives_unchanged(scene: Scene):
    base = random.randrange(10**9)
    seeds = [f"{base}:{number}" for number in range(FUZZED)]
    sent = [(seed, *scene.send([fuzzed(seed)], "scripted")) for seed in seeds if fuzzed(seed)]
    for seed, upload_id, client in sent:
        status = client.outcome(upload_id)
        [file] = files_of(client, upload_id)
        verdict = scan(BytesSource(fuzzed(seed)))
        if not isinstance(verdict, Accept):
            assert [one["code"] for one in status["warnings"]] == [verdict.code], f"fuzzed({seed!r})"
            assert file["state"] in {"rejected", "skipped"}, f"fuzzed({seed!r})"
        elif file["state"] == "stored":
            assert scene.pacs.held[verdict.facts.sop_instance_uid].content == fuzzed(seed), f"fuzzed({seed!r})"
        else:  # two damaged forms of one seed have the same UID
            assert (file["state"], file["code"]) == ("failed", "uid_conflict"), f"fuzzed({seed!r})"


# -- neighbours


def test_an_upload_whose_files_take_long_to_judge_keeps_no_neighbour_waiting(scene: Scene):
    """Eight files of a million elements each: seconds of the scanner for every one."""
    hostile = instance(without=[0x00080016], extra=element(0x00291001, "LO", "") * 1_000_000)

    def neighbour_s() -> float:
        began = time.monotonic()
        upload_id, client = scene.send(study(20), "scripted")
        assert client.outcome(upload_id)["state"] == "success"
        return time.monotonic() - began

    alone_s = neighbour_s()
    upload_id, client = scene.send([hostile] * 8, "scripted")
    beside_s = [neighbour_s() for _ in range(2)]
    files = files_of(client, upload_id)
    assert max(beside_s) < alone_s + 5.0
    assert {file["state"] for file in files} & {"whole", "queued"}, "some of it still waits: it was beside it"
    client.call("DELETE", f"/upload/{upload_id}").expect(204)
