"""The DICOMweb target against a real Orthanc: what arrives is what was sent, and what didn't arrive is not called stored."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from hooks.checks.scanner import scan
from hooks.contract import Accept, Comparison, LookupRefused, Outcome, OutcomeKind, TargetDown, TargetMisconfigured
from hooks.targets.stow import DicomWebTarget
from tests.dicom_samples import (
    DEFLATED,
    EXPLICIT_BE,
    HOSTILE,
    IMPLICIT_LE,
    JPEG_BASELINE,
    BytesSource,
    as_instance,
    element,
    instance,
    new_uid,
    smuggler,
    study,
)
from tests.e2e.orthanc import running_orthanc, tiny_disk
from tests.e2e.series import storable

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("orthanc")]

STORED = Outcome(OutcomeKind.STORED)


def never():
    return False


def digests(blobs):
    return sorted(hashlib.sha256(blob).hexdigest() for blob in blobs)


@pytest.fixture
def target(orthanc):
    target = DicomWebTarget(orthanc.dicomweb_url, auth=orthanc.auth)
    yield target
    target.close()


def send(target, *files):
    batch = [as_instance(data) for data in files]
    return batch, target.deliver(batch, never)


def test_stored_bytes_are_the_bytes_that_were_sent(orthanc, target):
    files = study(12, pixel_bytes=300_000)
    batch, outcomes = send(target, *files)
    assert outcomes == {one.instance_id: STORED for one in batch}
    assert digests(orthanc.stored_bytes()) == digests(files)
    assert all(target.compare(one) is Comparison.SAME for one in batch)


@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_BE, DEFLATED, JPEG_BASELINE])
def test_every_encoding_passes_untouched(orthanc, target, syntax):
    data = instance(transfer_syntax_uid=syntax)
    batch, outcomes = send(target, data)
    assert outcomes == {batch[0].instance_id: STORED}
    assert orthanc.stored_bytes() == [data]
    assert target.compare(batch[0]) is Comparison.SAME


def test_odd_private_elements_pass_untouched(orthanc, target):
    """A library that reads and writes them again changes their bytes."""
    odd = element(0x00290010, "??", "no VR known") + element(0x00291001, "UN", b"\xfe\xff\x00\xe0" * 5)
    data = instance(extra=odd, preamble=b"II*\0\x10\0\0\0")
    send(target, data)
    assert orthanc.stored_bytes() == [data]


def real_series():
    """A real series where there is one, a synthetic one always."""
    folder = Path(os.environ.get("RELAYPACS_TEST_DATA", "/nonexistent"))
    series = [folder / name for name in ("ct_ge_28", "mr_ge_epi_151") if (folder / name).is_dir()]
    return [None, *series]


@pytest.mark.parametrize("folder", real_series(), ids=lambda folder: folder.name if folder else "synthetic")
def test_a_whole_series_arrives_and_is_found(orthanc, target, folder):
    files = [path.read_bytes() for path in sorted(folder.glob("*.dcm"))] if folder else study(40)
    batch = [as_instance(data) for data in files]
    series = {one.series_instance_uid for one in batch}
    assert target.present(batch[0].study_instance_uid, series) == {}
    for start in range(0, len(batch), 10):
        outcomes = target.deliver(batch[start : start + 10], never)
        assert set(outcomes.values()) == {STORED}
    assert target.present(batch[0].study_instance_uid, series).keys() == {one.sop_instance_uid for one in batch}
    assert digests(orthanc.stored_bytes()) == digests(files)


def test_every_storable_file_of_the_test_data_arrives_as_it_was_sent(orthanc, target):
    sent, not_stored = list[bytes](), list[bytes]()
    for data in storable(25):
        [one], outcomes = send(target, data)
        (sent if outcomes[one.instance_id].kind is OutcomeKind.STORED else not_stored).append(data)
    assert digests(orthanc.stored_bytes()) == digests(sent)
    assert len(sent) > 15
    assert len(not_stored) < 0.05 * len(sent), "few that Orthanc can't read"


def test_a_uid_is_found_in_whatever_series_it_is(orthanc, target):
    batch, _ = send(target, instance())
    assert target.shows(batch[0].sop_instance_uid)
    assert not target.shows(new_uid())


def test_small_pages_show_the_same_as_large_ones(orthanc):
    files = study(25)
    target = DicomWebTarget(orthanc.dicomweb_url, auth=orthanc.auth, page_size=7)
    batch, _ = send(target, *files)
    found = target.present(batch[0].study_instance_uid, [batch[0].series_instance_uid])
    assert found == {one.sop_instance_uid: "TEST-1" for one in batch}
    assert target.present(batch[0].study_instance_uid, []) == found


def test_sending_twice_is_harmless(orthanc, target):
    files = study(5)
    send(target, *files)
    batch, outcomes = send(target, *files)
    assert outcomes == {one.instance_id: STORED for one in batch}
    assert digests(orthanc.stored_bytes()) == digests(files)


def test_other_content_under_the_same_uid_is_called_stored_and_only_a_comparison_tells(orthanc, target):
    """Why the delivery must look before it sends."""
    uids: dict[str, Any] = {
        "sop_instance_uid": new_uid(),
        "study_instance_uid": new_uid(),
        "series_instance_uid": new_uid(),
    }
    first = instance(**uids)
    second = instance(**uids, pixel_data=bytes(256))
    send(target, first)
    [sent], outcomes = send(target, second)
    assert outcomes == {sent.instance_id: STORED}
    assert orthanc.stored_bytes() == [first]
    assert target.compare(sent) is Comparison.DIFFERENT


def test_a_file_that_holds_a_boundary_stays_one_instance(orthanc, target):
    data, _, _ = HOSTILE["boundary_smuggler"]
    send(target, data, smuggler("0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1", instance(patient_id="SMUGGLED")))
    patients = {entry["PatientID"] for entry in (orthanc.json(f"/patients/{name}")["MainDicomTags"] for name in orthanc.json("/patients"))}  # fmt: skip
    assert patients == {"TEST-1"}
    assert len(orthanc.instances()) == 2


def test_one_bad_part_does_not_speak_for_the_others(orthanc, target):
    good = as_instance(instance(), "good")
    cut = instance()
    bad = as_instance(cut, "bad")
    short = cut[:-200]
    values = {name: getattr(bad, name) for name in type(bad).__slots__}
    bad = type(bad)(**values | {"size_bytes": len(short), "open": lambda: BytesSource(short)})
    assert target.deliver([good, bad], never) == {"good": STORED, "bad": Outcome(OutcomeKind.UNKNOWN)}
    assert len(orthanc.instances()) == 1


def test_wrong_credentials_stop_the_endpoint(orthanc):
    for auth in (("basic", "gw", "wrong"), ("bearer", "nonsense"), None):
        target = DicomWebTarget(orthanc.dicomweb_url, auth=auth)
        for ask in (lambda to: send(to, instance()), lambda to: to.present("1.2.3", ["1.2.4"]), lambda to: to.probe()):
            with pytest.raises((TargetMisconfigured, LookupRefused)) as raised:
                ask(target)
            assert raised.value.code in {"http_401", "http_403"}
    assert not orthanc.instances()


def test_a_wrong_path_stops_the_endpoint(orthanc):
    with pytest.raises(TargetMisconfigured) as raised:
        send(DicomWebTarget(orthanc.url + "/nowhere", auth=orthanc.auth), instance())
    assert raised.value.code == "http_404"


def test_a_probe_says_something(target):
    assert "QIDO-RS" in target.probe()


def test_patients_are_found_by_id_and_by_accession_number(orthanc, target):
    send(
        target,
        instance(patient_id="A 1", patient_name="DOE^JANE", patient_birth_date="19700101", accession_number="X7"),
    )
    send(target, instance(patient_id="A*", patient_name="ROE^RICHARD"))
    [found] = target.patients(patient_id="A 1")
    assert (found.patient_id, found.patient_name, found.patient_birth_date) == ("A 1", "DOE^JANE", "19700101")
    assert [one.patient_name for one in target.patients(patient_id="A*")] == ["ROE^RICHARD"]
    assert target.patients(accession_number="X7") == [found]
    assert target.patients(patient_id="nobody") == []


def test_an_instance_that_is_not_there_cannot_be_compared(target):
    assert target.compare(as_instance(instance())) is Comparison.UNAVAILABLE


def test_a_pacs_that_was_stopped_is_down_and_takes_all_when_it_is_back(own_orthanc):
    target = DicomWebTarget(own_orthanc.dicomweb_url, auth=own_orthanc.auth)
    files = study(3)
    send(target, files[0])
    own_orthanc.stop()
    with pytest.raises(TargetDown):
        send(target, *files)
    own_orthanc.start()
    _, outcomes = send(target, *files)
    assert set(outcomes.values()) == {STORED}
    assert digests(own_orthanc.stored_bytes()) == digests(files)


def test_a_full_disk_behind_status_200_is_not_called_stored(tmp_path):
    with tiny_disk(tmp_path / "db"), running_orthanc(tmp_path) as orthanc:
        target = DicomWebTarget(orthanc.dicomweb_url, auth=orthanc.auth)
        stored = set()
        unknown = 0
        for data in study(12, pixel_bytes=2**20):
            try:
                [one], outcomes = send(target, data)
            except TargetDown:
                unknown += 1
                continue
            if outcomes[one.instance_id] == STORED:
                stored.add(one.sha256)
            else:
                unknown += 1
        assert unknown, "the disk holds less than half of it"
        assert stored <= set(digests(orthanc.stored_bytes()))


def test_a_large_instance_is_not_held_in_memory(orthanc, target):
    """64 MiB that exist only while they are read."""
    head = instance(rows=8192, columns=8192, pixel_data=b"")[:-12]
    head += element(0x7FE00010, "OB", b"")[:8] + (64 * 2**20).to_bytes(4, "little")

    class Made(BytesSource):
        size_bytes = len(head) + 64 * 2**20
        largest = 0

        def read_at(self, offset, size):
            type(self).largest = max(self.largest, size)
            return (head[offset : offset + size] + bytes(size))[: min(size, self.size_bytes - offset)]

    verdict = scan(Made(b""))
    assert isinstance(verdict, Accept)
    values = {name: getattr(as_instance(instance()), name) for name in type(as_instance(instance())).__slots__}
    uids = {name: getattr(verdict.facts, name) for name in ("sop_class_uid", "sop_instance_uid", "study_instance_uid", "series_instance_uid")}  # fmt: skip
    one = type(as_instance(instance()))(**values | uids | {"instance_id": "large", "size_bytes": Made.size_bytes, "open": lambda: Made(b"")})  # fmt: skip
    assert target.deliver([one], never) == {"large": STORED}
    assert Made.largest <= 2**20
    assert len(orthanc.instances()) == 1


@pytest.mark.parametrize("name", [name for name, (_, kind, _) in HOSTILE.items() if kind == "Accept"])
def test_what_the_scanner_accepts_leaves_the_archive_alive(orthanc, target, name):
    data, _, warning = HOSTILE[name]
    [one], outcomes = send(target, data)
    kind = outcomes[one.instance_id].kind
    assert orthanc.json("/system")["Name"] == "test"
    assert kind is OutcomeKind.STORED or warning, "without a warning, an archive takes it"
    if kind is OutcomeKind.STORED:
        assert target.compare(one) is Comparison.SAME
