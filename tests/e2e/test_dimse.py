"""C-STORE before DCMTK's storescp, Orthanc, pynetdicom, and peers that behave badly."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pynetdicom import evt

from hooks.contract import (
    Instance,
    LookupRefused,
    Outcome,
    OutcomeKind,
    SourceBroke,
    Stopped,
    TargetDown,
    TargetMisconfigured,
)
from hooks.targets.data_set_digest import data_set_start, digests_of
from hooks.targets.dimse import wire
from hooks.targets.dimse.target import DimseTarget
from hooks.targets.dimse.wire import Peer
from tests import scale
from tests.dicom_samples import (
    DEFLATED,
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    SECONDARY_CAPTURE,
    BytesSource,
    as_instance,
    header,
    instance,
    new_uid,
    study,
)
from tests.e2e.dicom_peers import raw_peer, scp, storescp
from tests.e2e.guarded import Authority
from tests.e2e.lab import Lab, Pacs, running_lab, wait_until
from tests.e2e.orthanc import Orthanc, running_orthanc
from tests.e2e.series import WHEEL, storable
from tests.e2e.test_folder_endpoint import receipt_of
from tests.e2e.test_outage import upload

pytestmark = pytest.mark.root

MOST_BYTES = 1 << 18


def never() -> bool:
    return False


def target(port: int, *, timeout_s: float = 5.0, **more: Any) -> DimseTarget:
    tls = more.pop("tls", None)
    return DimseTarget(Peer("127.0.0.1", port, "PEER", "RELAYPACS", timeout_s, tls), **more)


def store(to: DimseTarget, *files: bytes) -> list[Outcome]:
    instances = [as_instance(data) for data in files]
    told = to.deliver(instances, never)
    return [told[one.instance_id] for one in instances]


def kinds(outcomes: list[Outcome]) -> list[OutcomeKind]:
    return [one.kind for one in outcomes]


def data_set(data: bytes) -> bytes:
    """What is behind the file meta."""
    return data[data_set_start([data])[1] :]


def is_odd(data: bytes) -> bool:
    """No fragment could be made of it (PS3.8 annex E), unless it is deflated."""
    syntax, start = data_set_start([data])
    return (len(data) - start) % 2 == 1 and syntax != DEFLATED


def as_sent(data: bytes) -> bytes:
    """A deflated data set of odd length has a byte of 0 behind it (PS3.5 section A.5)."""
    sent = data_set(data)
    return sent + bytes(len(sent) % 2)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), dicom_server=True) as orthanc:
        yield orthanc


# -- bytes


def test_data_sets_arrive_byte_for_byte_in_every_transfer_syntax(tmp_path: Path) -> None:
    files = [instance(transfer_syntax_uid=one) for one in (IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED)]
    files += storable(25)
    with storescp(tmp_path / "in", "+B", "+xa") as peer:
        outcomes = [store(target(peer.port), data)[0] for data in files]
        arrived = {data_set(data) for data in peer.data_sets()}
    taken = [data for data, outcome in zip(files, outcomes, strict=True) if outcome.kind is OutcomeKind.STORED]
    assert arrived == {as_sent(data) for data in taken}
    told = zip(files, outcomes, strict=True)
    refused = [one.reason for data, one in told if one.kind is not OutcomeKind.STORED and not is_odd(data)]
    assert set(refused) <= {0x0122, 0xC122}, "DCMTK knows fewer SOP classes and transfer syntaxes than there are"
    assert len(taken) > 0.8 * len(files)


def test_a_data_set_of_odd_length_is_padded_if_it_is_deflated_and_else_costs_nobody_the_association(
    tmp_path: Path,
) -> None:
    deflated = (WHEEL / "image_dfl.dcm").read_bytes()
    assert len(data_set(deflated)) % 2 == 1
    study_uid, odd_value = new_uid(), header(0x00290010, "LO", 3) + b"ODD"
    odd, good = instance(study_instance_uid=study_uid, extra=odd_value), instance(study_instance_uid=study_uid)
    assert len(data_set(odd)) % 2 == 1
    with storescp(tmp_path / "in", "+B", "+xa") as peer:
        assert store(target(peer.port), odd, good) == [Outcome(OutcomeKind.FAILED), Outcome(OutcomeKind.STORED)]
        assert kinds(store(target(peer.port), deflated)) == [OutcomeKind.STORED]
        assert {data_set(one) for one in peer.data_sets()} == {data_set(good), data_set(deflated) + b"\0"}


@pytest.mark.parametrize("most", ["4096", "131072"])
def test_data_sets_arrive_whole_in_small_and_large_pieces(tmp_path: Path, most: str) -> None:
    data = instance(pixel_data=bytes(range(256)) * 12_000)
    with storescp(tmp_path / "in", "+B", "-pdu", most) as peer:
        assert kinds(store(target(peer.port), data)) == [OutcomeKind.STORED]
        assert [data_set(one) for one in peer.data_sets()] == [data_set(data)]


def test_orthanc_has_every_element_and_is_asked_what_it_has(archive: Orthanc) -> None:
    archive.clear()
    files = study(5, patient_id="A1")
    to, instances = target(archive.dicom_port), [as_instance(data) for data in files]
    study_uid, series = instances[0].study_instance_uid, [instances[0].series_instance_uid]
    assert to.present(study_uid, series) == {}
    assert set(kinds(store(to, *files))) == {OutcomeKind.STORED}
    there = archive.stored_bytes()
    assert sorted(digests_of([one]).data_set or "" for one in there) == sorted(
        digests_of([one]).data_set or "" for one in files
    )
    assert to.present(study_uid, series) == {one.sop_instance_uid: "A1" for one in instances}
    (patient,) = to.patients(patient_id="A1")
    assert (patient.patient_id, patient.patient_name, patient.study_instance_uid) == ("A1", "TEST^ONE", study_uid)
    assert to.patients(study_instance_uid=study_uid) == [patient]
    assert to.patients(patient_id="A") == []
    assert "C-FIND" in to.probe()


def test_orthanc_has_every_element_of_every_storable_file_of_the_test_data(archive: Orthanc) -> None:
    archive.clear()
    to, sent, refused = target(archive.dicom_port, timeout_s=30.0), dict[str, bytes](), set[int | None]()
    for data in storable(25):
        (outcome,) = store(to, data)
        if outcome.kind is OutcomeKind.STORED:
            sent[as_instance(data).sop_instance_uid] = data
        elif not is_odd(data):
            refused.add(outcome.reason)
    there = {as_instance(data).sop_instance_uid: data for data in archive.stored_bytes()}
    assert there.keys() == sent.keys()
    for uid, data in sent.items():
        assert same_elements(data, there[uid]), uid
    assert refused <= {0x0122, 0xC122, 0xC000}, "what Orthanc doesn't know, or can't read"
    assert len(sent) > 15


def same_elements(data: bytes, other: bytes) -> bool:
    """By the digest; where a sequence is written otherwise, by what is read."""
    if digests_of([data]).data_set == digests_of([other]).data_set:
        return True
    one, two = (pydicom.dcmread(BytesIO(written), force=True) for written in (data, other))
    return bool(one == two)


def test_a_pacs_that_only_stores_can_not_be_asked(tmp_path: Path) -> None:
    with storescp(tmp_path / "in") as peer:
        to = target(peer.port)
        assert "can't be asked" in to.probe()
        with pytest.raises(LookupRefused, match="no_queries"):
            to.present("1.2", ["1.3"])


def test_images_go_over_tls_to_a_pacs_that_is_believed_and_to_no_other(tmp_path: Path) -> None:
    hospital, nobody = Authority(tmp_path, "hospital"), Authority(tmp_path, "nobody")
    server, ours = hospital.papers("server"), hospital.papers("relay")
    options = ["+tls", str(server.key), str(server.cert), "+cf", str(hospital.cert)]

    def context(ca: Path, *, shown: bool = True) -> ssl.SSLContext:
        found = ssl.create_default_context(cafile=ca)
        if shown:
            found.load_cert_chain(ours.cert, ours.key)
        return found

    with storescp(tmp_path / "in", "+B", *options) as peer:
        data = instance()
        assert kinds(store(target(peer.port, tls=context(hospital.cert)), data)) == [OutcomeKind.STORED]
        assert [data_set(one) for one in peer.data_sets()] == [data_set(data)]
        with pytest.raises(TargetDown, match="tls_failed"):
            store(target(peer.port, tls=context(nobody.cert)), instance())
        with pytest.raises(TargetDown, match=r"tls_failed|connection_lost"):
            store(target(peer.port, tls=context(hospital.cert, shown=False)), instance())
        assert len(peer.data_sets()) == 1


# -- answers


def storing(status: int | Callable[[Any], int]) -> list[tuple[Any, Any]]:
    return [(evt.EVT_C_STORE, status if callable(status) else lambda _: status)]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (0xB000, OutcomeKind.STORED),
        (0xA700, OutcomeKind.BUSY),
        (0xA900, OutcomeKind.FAILED),
        (0xC123, OutcomeKind.FAILED),
    ],
)
def test_a_status_counts_for_its_instance_alone(status: int, kind: OutcomeKind) -> None:
    files = study(3)
    bad = as_instance(files[1]).sop_instance_uid

    def handle(event: Any) -> int:
        return status if event.request.AffectedSOPInstanceUID == bad else 0

    with scp(storing(handle), [SECONDARY_CAPTURE]) as port:
        outcomes = store(target(port), *files)
    assert kinds(outcomes) == [OutcomeKind.STORED, kind, OutcomeKind.STORED]
    assert status in {outcomes[1].reason, outcomes[1].warning}


def test_what_the_pacs_does_not_take_is_said_by_half_and_the_rest_is_stored() -> None:
    with scp(storing(0), ["1.2.840.10008.5.1.4.1.1.4"]) as port:
        assert [one.reason for one in store(target(port), instance())] == [0x0122]
    with scp(storing(0), [SECONDARY_CAPTURE]) as port:
        odd = instance(transfer_syntax_uid=EXPLICIT_LE)
        assert kinds(store(target(port), odd)) == [OutcomeKind.STORED]


def test_priority_is_what_was_declared() -> None:
    heard: list[int] = []

    def handle(event: Any) -> int:
        heard.append(event.request.Priority)
        return 0

    with scp(storing(handle), [SECONDARY_CAPTURE]) as port:
        for priority in ("routine", "urgent", "stat", "odd"):
            target(port).deliver([dataclasses.replace(as_instance(instance()), priority=priority)], never)
    assert heard == [0, 1, 1, 0]


def test_an_abort_in_the_middle_costs_only_what_was_not_answered() -> None:
    files, seen = study(3), list[str]()

    def handle(event: Any) -> int:
        seen.append(event.request.AffectedSOPInstanceUID)
        if len(seen) == 2:
            event.assoc.abort()
        return 0

    with scp(storing(handle), [SECONDARY_CAPTURE]) as port:
        outcomes = store(target(port), *files)
        assert kinds(outcomes) == [OutcomeKind.STORED, OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN]


@pytest.mark.parametrize("option", ["--abort-during", "--abort-after", "--refuse"])
def test_dcmtk_aborts_or_refuses_and_that_is_said(tmp_path: Path, option: str) -> None:
    error = TargetMisconfigured if option == "--refuse" else TargetDown
    code = "association_rejected" if option == "--refuse" else "association_aborted|connection_lost"
    with storescp(tmp_path / "in", option) as peer, pytest.raises(error, match=code):
        store(target(peer.port), instance(pixel_data=bytes(2_000_000)))


def test_titles_that_the_pacs_does_not_know_stop_the_endpoint() -> None:
    with (
        scp(storing(0), [SECONDARY_CAPTURE], aet="OTHER", require_called=True) as port,
        pytest.raises(TargetMisconfigured, match="association_rejected_called_aet"),
    ):
        target(port).probe()
    with (
        scp(storing(0), [SECONDARY_CAPTURE], require_calling=["SOMEBODY"]) as port,
        pytest.raises(TargetMisconfigured, match="association_rejected_calling_aet"),
    ):
        target(port).probe()


def test_a_pacs_that_takes_one_association_at_a_time_gets_one() -> None:
    files = [study(2) for _ in range(4)]
    under_way, most = [0], [0]
    lock = threading.Lock()

    def handle(_: Any) -> int:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.05)  # so that others come while it is busy
        with lock:
            under_way[0] -= 1
        return 0

    with scp(storing(handle), [SECONDARY_CAPTURE], maximum_associations=1) as port:
        to = target(port)
        told: list[OutcomeKind] = []
        threads = [threading.Thread(target=lambda two=two: told.extend(kinds(store(to, *two)))) for two in files]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert told == [OutcomeKind.STORED] * 8
    assert most == [1]


def test_a_transfer_that_is_stopped_is_aborted_and_half_an_instance_is_not_there(tmp_path: Path) -> None:
    asked = iter([False, True])
    with storescp(tmp_path / "in", "+B") as peer:
        with pytest.raises(Stopped):
            target(peer.port).deliver([as_instance(instance(pixel_data=bytes(3_000_000)))], lambda: next(asked))
        assert kinds(store(target(peer.port), instance())) == [OutcomeKind.STORED]
        assert len(peer.data_sets()) == 1


def test_an_instance_that_is_shorter_than_it_should_be_is_not_sent_whole(tmp_path: Path) -> None:
    data = instance(pixel_data=bytes(2_000_000))
    short: Instance = dataclasses.replace(as_instance(data), open=lambda: Short(data))
    with storescp(tmp_path / "in", "+B") as peer:
        with pytest.raises(SourceBroke):
            target(peer.port).deliver([short], never)
        wait_until("what came of it is thrown away", lambda: peer.data_sets() == [])


class Short(BytesSource):
    """Ends early."""

    def read_at(self, offset: int, size: int) -> bytes:
        return super().read_at(offset, size)[: max(0, 1_500_000 - offset)]


# -- peers that hang, die or talk nonsense


def accepting(line: socket.socket) -> None:
    """Reads an A-ASSOCIATE-RQ, and accepts all that it proposes."""
    head = _exactly(line, 6)
    body = _exactly(line, struct.unpack(">BxI", head)[1])
    items = b"\x10\0" + struct.pack(">H", 21) + b"1.2.840.10008.3.1.1.1"
    at = 68
    while at < len(body):
        kind, length = struct.unpack_from(">BxH", body, at)
        if kind == 0x20:
            syntax = body[at + 4 : at + 4 + length].split(b"\x40\0", 1)[1]
            content = bytes([body[at + 4], 0, 0, 0]) + b"\x40\0" + syntax
            items += b"\x21\0" + struct.pack(">H", len(content)) + content
        at += 4 + length
    items += b"\x50\0\0\x08" + b"\x51\0\0\x04" + struct.pack(">I", 16384)
    answer = body[:68] + items
    line.sendall(struct.pack(">BxI", 2, len(answer)) + answer)


def _exactly(line: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        piece = line.recv(size - len(got))
        if not piece:
            raise OSError("gone")
        got += piece
    return got


def swallow(line: socket.socket) -> None:
    while line.recv(1 << 16):
        pass


def hang_at_once(line: socket.socket) -> None:
    swallow(line)


def hang_after_accepting(line: socket.socket) -> None:
    accepting(line)
    swallow(line)


def never_read(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    accepting(line)
    threading.Event().wait(30)


def trickle(line: socket.socket) -> None:
    accepting(line)
    while True:
        line.sendall(b"\x04")
        time.sleep(0.05)


def garbage(line: socket.socket) -> None:
    line.recv(1 << 16)
    line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def huge(line: socket.socket) -> None:
    accepting(line)
    line.sendall(struct.pack(">BxI", 4, 0xFFFFFFF0))
    swallow(line)


def die(line: socket.socket) -> None:
    accepting(line)
    line.recv(1 << 16)


@pytest.mark.parametrize(
    ("script", "codes"),
    [
        (hang_at_once, {"timed_out"}),
        (hang_after_accepting, {"timed_out"}),
        (never_read, {"timed_out"}),
        (trickle, {"timed_out", "not_dimse"}),
        (garbage, {"not_dimse", "timed_out"}),
        (huge, {"not_dimse"}),
        (die, {"connection_lost"}),
    ],
)
def test_no_peer_holds_a_thread_for_longer_than_its_time(
    script: Callable[[socket.socket], None], codes: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "SEND_TIMEOUT_S", 1.0)
    began = time.monotonic()
    with raw_peer(script) as peer, pytest.raises(TargetDown) as caught:
        store(target(peer.port, timeout_s=1.0), instance(pixel_data=bytes(3_000_000)))
    assert caught.value.code in codes
    assert time.monotonic() - began < 15.0


def test_a_pacs_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(TargetDown, match="connect_failed"):
        target(9).probe()


# -- a gateway


def dimse(port: int, **more: object) -> dict[str, dict[str, object]]:
    return {"endpoints.main": {"kind": "dimse", "host": "127.0.0.1", "port": port, "called_aet": "ORTHANC", **more}}


@pytest.fixture(scope="module")
def lab_of_module(tmp_path_factory: pytest.TempPathFactory, archive: Orthanc) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with running_lab(folder / "gateway", Pacs(""), settings=dimse(archive.dicom_port)) as lab:
        yield lab


@pytest.fixture
def lab(lab_of_module: Lab, archive: Orthanc) -> Lab:
    """Before an empty archive."""
    archive.clear()
    return lab_of_module


def test_a_study_is_stored_and_shown_by_the_pacs(lab: Lab, archive: Orthanc) -> None:
    files = study(12)
    upload_id, client = upload(lab, files)
    done = client.complete(upload_id).expect(200).json
    assert (done["status"], done["warnings"]) == ("success", [])
    assert len(archive.instances()) == 12
    receipt = receipt_of(lab, client, upload_id)
    assert receipt["verification"] == "queried"
    assert {one["outcome"] for one in receipt["instances"]} == {"stored"}
    again, client = upload(lab, files)
    assert client.complete(again).expect(200).json["status"] == "success"
    states = {one["state"] for one in client.call("GET", f"/upload/{again}/files").json["files"]}
    assert states == {"already_there"}


def test_another_patient_under_the_number_is_held(lab: Lab, archive: Orthanc) -> None:
    first, client = upload(lab, [instance(patient_id="77", patient_name="DOE^JANE", patient_birth_date="19700101")])
    assert client.complete(first).expect(200).json["status"] == "success"
    other, client = upload(lab, [instance(patient_id="77", patient_name="ROE^RICHARD", patient_birth_date="19330303")])
    client.complete(other, wait_s=0)
    wait_until("it is held", lambda: client.status(other)["state"] == "held")
    assert len(archive.instances()) == 1


def test_killed_again_and_again_each_instance_is_there_once(lab: Lab, archive: Orthanc) -> None:
    files = study(20, pixel_bytes=100_000)
    upload_id, client = upload(lab, files)
    client.complete(upload_id, wait_s=0).expect(202)
    for life in range(scale.count(1, 3)):
        wait_until("another instance is there", lambda: len(archive.json("/instances")) > 6 * life)  # noqa: B023 - it is called in this turn of the loop
        lab.kill()
        lab.start()
    assert client.outcome(upload_id)["state"] == "success"
    assert len(archive.instances()) == 20
    assert {one["outcome"] for one in receipt_of(lab, client, upload_id)["instances"]} == {"stored"}


def test_a_pacs_that_is_away_is_waited_for(lab: Lab, archive: Orthanc) -> None:
    archive.stop()
    upload_id, client = upload(lab, study(3))
    client.complete(upload_id, wait_s=1).expect(202)
    archive.start()
    assert client.outcome(upload_id)["state"] == "success"
    assert len(archive.instances()) == 3


def test_nothing_of_an_image_is_on_a_disk_in_the_clear(lab: Lab, archive: Orthanc) -> None:
    marker = b"MARKER-OF-THIS-PATIENT"
    upload_id, client = upload(lab, [instance(patient_name=marker.decode(), pixel_data=marker * 20_000)])
    assert client.complete(upload_id).expect(200).json["status"] == "success"
    kept = [path for path in lab.folder.rglob("*") if path.is_file() and marker in path.read_bytes()]
    assert kept == []
    assert pydicom.dcmread(BytesIO(archive.stored_bytes()[0])).PatientName == marker.decode()
