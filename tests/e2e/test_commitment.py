"""Storage commitment: who answers for an instance, over which association, and what its receipt says then."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined] # made at run time

from hooks.contract import Commitment, CommitmentRefused
from hooks.targets.dimse.commitment import PUSH_MODEL_INSTANCE
from hooks.targets.dimse.listener import MOST_AT_ONCE, ReportListener
from hooks.targets.dimse.target import DimseTarget
from hooks.targets.dimse.wire import Peer
from hooks.targets.transactions import Report
from tests.dicom_samples import SECONDARY_CAPTURE, as_instance, new_uid, study
from tests.e2e.dicom_peers import scp, storescp
from tests.e2e.guarded import Authority
from tests.e2e.lab import Lab, Pacs, running_lab, wait_until
from tests.e2e.orthanc import running_orthanc
from tests.e2e.test_dimse import dimse
from tests.e2e.test_folder_endpoint import receipt_of
from tests.e2e.test_outage import upload
from tools.ports import free_port

pytestmark = pytest.mark.root


def target(port: int) -> DimseTarget:
    return DimseTarget(Peer("127.0.0.1", port, "PEER", "RELAYPACS", 5.0))


def report(asked: Dataset, failed: Mapping[str, int] | None = None) -> tuple[Dataset, int]:
    """What the archive says of a request, and the event's type."""
    failed = failed or {}
    said = Dataset()
    said.TransactionUID = asked.TransactionUID
    said.ReferencedSOPSequence = [
        one for one in asked.ReferencedSOPSequence if one.ReferencedSOPInstanceUID not in failed
    ]
    items = []
    for one in asked.ReferencedSOPSequence:
        if one.ReferencedSOPInstanceUID in failed:
            one.FailureReason = failed[one.ReferencedSOPInstanceUID]
            items.append(one)
    if items:
        said.FailedSOPSequence = items
    return said, 2 if items else 1


def call(
    port: int, said: Dataset, event: int, *, aet: str = "RELAYPACS", tls: ssl.SSLContext | None = None
) -> int | None:
    """A report on an association of the archive's own; the status that it was answered with, None: rejected."""
    ae = AE(ae_title="PEER")
    ae.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    tls_args = None if tls is None else (tls, "127.0.0.1")
    association = ae.associate("127.0.0.1", port, ae_title=aet, ext_neg=[role], tls_args=tls_args)
    if not association.is_established:
        return None
    status, _ = association.send_n_event_report(said, event, StorageCommitmentPushModel, PUSH_MODEL_INSTANCE)
    association.release()
    return int(status.Status)


Answering = Callable[[evt.Event, Dataset], None]


@contextlib.contextmanager
def archive(answering: Answering) -> Iterator[int]:
    """Stores all, and does with a request for commitment as `answering` says, in a thread."""

    def action(event: Any) -> tuple[int, None]:
        asked = event.action_information
        threading.Timer(0.1, answering, (event, asked)).start()  # after the answer to the request
        return 0, None

    handlers = [(evt.EVT_C_STORE, lambda _: 0), (evt.EVT_N_ACTION, action)]
    with scp(handlers, [SECONDARY_CAPTURE, StorageCommitmentPushModel]) as port:
        yield port


def on_the_same(event: Any, asked: Dataset) -> None:
    said, kind = report(asked)
    event.assoc.send_n_event_report(said, kind, StorageCommitmentPushModel, PUSH_MODEL_INSTANCE)


# -- the target


def test_a_report_on_the_association_that_asked_is_taken() -> None:
    with archive(on_the_same) as port:
        to, transaction = target(port), new_uid()
        assert not to.awaits(transaction)
        to.ask_commitment(transaction, {"1.2.3": SECONDARY_CAPTURE, "1.2.4": SECONDARY_CAPTURE})
        assert to.awaits(transaction)
        assert to.commitment(transaction) == Commitment(frozenset({"1.2.3", "1.2.4"}), {})


def test_a_pacs_that_commits_to_nothing_says_so(tmp_path: Path) -> None:
    with storescp(tmp_path / "in") as peer, pytest.raises(CommitmentRefused, match="no_commitment"):
        target(peer.port).ask_commitment(new_uid(), {"1.2.3": SECONDARY_CAPTURE})


@pytest.fixture
def listener() -> Iterator[tuple[ReportListener, list[Report]]]:
    taken: list[Report] = []
    awaited = {"1.2.9"}

    def arrived(one: Report) -> bool:
        taken.append(one)
        return one.transaction_uid in awaited

    found = ReportListener("127.0.0.1", 0, "RELAYPACS", arrived)
    try:
        yield found, taken
    finally:
        found.close()


def asked_for(*uids: str, transaction: str = "1.2.9") -> Dataset:
    asked = Dataset()
    asked.TransactionUID = transaction
    asked.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = SECONDARY_CAPTURE, uid
        asked.ReferencedSOPSequence.append(item)
    return asked


def test_a_report_on_an_association_of_the_archives_is_taken(listener: tuple[ReportListener, list[Report]]) -> None:
    said, kind = report(asked_for("1.2.3", "1.2.4"), {"1.2.4": 0x0112})
    assert call(listener[0].port, said, kind) == 0
    assert listener[1] == [Report("1.2.9", Commitment(frozenset({"1.2.3"}), {"1.2.4": 0x0112}))]


def test_a_report_that_nobody_asked_for_and_a_caller_of_somebody_else_are_refused(
    listener: tuple[ReportListener, list[Report]],
) -> None:
    said, kind = report(asked_for("1.2.3", transaction="1.2.8"))
    assert call(listener[0].port, said, kind) == 0x0112
    assert call(listener[0].port, said, kind, aet="SOMEBODY") is None


def test_the_listener_answers_an_echo(listener: tuple[ReportListener, list[Report]]) -> None:
    ae = AE()
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", listener[0].port, ae_title="RELAYPACS")
    assert association.send_c_echo().Status == 0
    association.release()


# -- the listener over TLS


@dataclass
class Hospital:
    """A listener that wants to see a certificate of the hospital's authority, and what callers may show."""

    port: int
    ours: Authority
    nobody: Authority
    taken: list[Report]

    def shows(self, authority: Authority | None, believes: Authority | None = None) -> ssl.SSLContext:
        """A caller's side: what it shows, and whom it believes."""
        context = ssl.create_default_context(cafile=(believes or self.ours).cert)
        if authority is not None:
            papers = authority.papers("caller")
            context.load_cert_chain(papers.cert, papers.key)
        return context

    def answers(self, tls: ssl.SSLContext | None) -> bool:
        """Whether it says a word (A-ASSOCIATE-RJ) to who says half of one; None: in the clear."""
        line = socket.create_connection(("127.0.0.1", self.port), timeout=30.0)
        with (
            contextlib.suppress(OSError),
            line if tls is None else tls.wrap_socket(line, server_hostname="127.0.0.1") as wire,
        ):
            wire.sendall(b"\x01\0\0\0\0\0")
            return wire.recv(1) == b"\x03"
        return False


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    ours, nobody = Authority(tmp_path, "hospital"), Authority(tmp_path, "nobody")
    papers, taken = ours.papers("relay"), list[Report]()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(papers.cert, papers.key)
    tls.load_verify_locations(ours.cert)
    tls.verify_mode = ssl.CERT_REQUIRED

    def arrived(one: Report) -> bool:
        taken.append(one)
        return True

    listener = ReportListener("127.0.0.1", 0, "RELAYPACS", arrived, tls)
    try:
        yield Hospital(listener.port, ours, nobody, taken)
    finally:
        listener.close()


def test_a_report_comes_over_tls_from_whom_the_hospital_knows_and_from_nobody_else(hospital: Hospital) -> None:
    said, kind = report(asked_for("1.2.3"))
    assert hospital.answers(hospital.shows(hospital.ours))
    for stranger in (hospital.shows(hospital.nobody), hospital.shows(None), None):
        assert not hospital.answers(stranger)
    assert call(hospital.port, said, kind, tls=hospital.shows(hospital.ours)) == 0
    assert hospital.taken == [Report("1.2.9", Commitment(frozenset({"1.2.3"}), {}))]


def test_the_listener_shows_the_certificate_that_it_was_given(hospital: Hospital) -> None:
    def shown(believes: Authority) -> str | None:
        line = socket.create_connection(("127.0.0.1", hospital.port))
        with hospital.shows(hospital.ours, believes).wrap_socket(line, server_hostname="127.0.0.1") as encrypted:
            return encrypted.version()

    assert shown(hospital.ours) in {"TLSv1.2", "TLSv1.3"}
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(hospital.nobody)


def test_dcmtk_is_answered_over_tls(hospital: Hospital) -> None:
    def echo(authority: Authority) -> int:
        papers = authority.papers("dcmtk")
        program = shutil.which("echoscu")
        assert program is not None, "DCMTK is needed: apt-get install dcmtk"
        tls = ["+tls", str(papers.key), str(papers.cert), "+cf", str(hospital.ours.cert)]
        where = ["-aec", "RELAYPACS", "127.0.0.1", str(hospital.port)]
        return subprocess.run([program, *tls, *where], capture_output=True, timeout=30, check=False).returncode

    assert echo(hospital.ours) == 0
    assert echo(hospital.nobody) != 0


def test_who_connects_and_says_nothing_keeps_nobody_else_out(hospital: Hospital) -> None:
    said, kind = report(asked_for("1.2.3"))
    with contextlib.ExitStack() as silent:
        for _ in range(MOST_AT_ONCE - 1):
            silent.enter_context(socket.create_connection(("127.0.0.1", hospital.port)))
        assert call(hospital.port, said, kind, tls=hospital.shows(hospital.ours)) == 0


# -- a gateway


@contextlib.contextmanager
def committing(folder: Path, port: int, listening: int, **more: object) -> Iterator[Lab]:
    settings = dimse(port, commitment=True, identity="as-is", **more) | {"dimse": {"port": listening}}
    with running_lab(folder, Pacs(""), settings=settings) as lab:
        yield lab


def delivered(lab: Lab, files: list[bytes]) -> tuple[Any, Any]:
    """Status and receipt of an upload of these."""
    upload_id, client = upload(lab, files)
    client.complete(upload_id, wait_s=0)
    status = client.outcome(upload_id)
    return status, receipt_of(lab, client, upload_id)


def test_orthanc_answers_for_a_study_and_its_receipt_says_committed(tmp_path: Path) -> None:
    listening = free_port()
    relay = {"AET": "RELAYPACS", "Host": "127.0.0.1", "Port": listening, "AllowStorageCommitment": True}
    with (
        running_orthanc(tmp_path, dicom_server=True, modalities={"relay": relay}) as orthanc,
        committing(tmp_path / "gateway", orthanc.dicom_port, listening) as lab,
    ):
        status, receipt = delivered(lab, study(5))
        assert (status["state"], status["warnings"]) == ("success", [])
        assert receipt["verification"] == "committed"
        assert all(one["at"] for one in receipt["instances"])


def test_orthanc_takes_a_study_and_answers_for_it_over_tls_both_ways(tmp_path: Path) -> None:
    authority, listening = Authority(tmp_path, "hospital"), free_port()
    theirs, ours = authority.papers("orthanc"), authority.papers("relay")
    relay = {"AET": "RELAYPACS", "Host": "127.0.0.1", "Port": listening, "AllowStorageCommitment": True}
    tls = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs.cert),
        "DicomTlsPrivateKey": str(theirs.key),
        "DicomTlsTrustedCertificates": str(authority.cert),
    }
    mine = {"cert": str(ours.cert), "key": str(ours.key), "ca": str(authority.cert)}
    reports = {"tls_cert": str(ours.cert), "tls_key": str(ours.key), "tls_ca": str(authority.cert)}
    modalities = {"relay": relay | {"UseDicomTls": True}}
    (tmp_path / "orthanc").mkdir()
    with running_orthanc(tmp_path / "orthanc", dicom_server=True, modalities=modalities, settings=tls) as orthanc:
        settings = dimse(orthanc.dicom_port, commitment=True, identity="as-is") | {
            "endpoints.main.tls": mine,
            "dimse": {"port": listening, **reports},
        }
        with running_lab(tmp_path / "gateway", Pacs(""), settings=settings) as lab:
            assert "and takes requests for storage commitment" in lab.command("check").stdout
            status, receipt = delivered(lab, study(3))
            assert (status["state"], status["warnings"]) == ("success", [])
            assert receipt["verification"] == "committed"
            assert len(orthanc.instances()) == 3


def test_what_the_archive_does_not_answer_for_has_failed_and_an_archive_that_never_reports_is_told(
    tmp_path: Path,
) -> None:
    files, listening = study(3), free_port()
    bad = as_instance(files[1]).sop_instance_uid

    def answering(_: Any, asked: Dataset) -> None:
        if len(asked.ReferencedSOPSequence) == len(files):
            call(listening, *report(asked, {bad: 0x0110}))

    with archive(answering) as port, committing(tmp_path / "gateway", port, listening, verify_for="3s") as lab:
        status, receipt = delivered(lab, files)
        assert status["state"] == "partial"
        assert [(one["code"], one["reason"]) for one in status["warnings"]] == [("not_committed", "0110")]
        outcomes = {one["sop_instance_uid"]: one["outcome"] for one in receipt["instances"]}
        assert outcomes.pop(bad) == "failed"
        assert set(outcomes.values()) == {"stored"}
        assert receipt["verification"] == "committed"
        assert len(lab.segments()) > 0

        status, receipt = delivered(lab, study(2))
        assert status["state"] == "success"
        assert {one["code"] for one in status["warnings"]} == {"not_committed"}
        assert receipt["verification"] == "acknowledged"
        assert {tuple(one["warnings"]) for one in receipt["instances"]} == {("not_committed",)}


def test_a_gateway_that_is_killed_while_it_waits_asks_again(tmp_path: Path) -> None:
    listening, asked_first = free_port(), list[str]()
    answers = threading.Event()

    def answering(_: Any, asked: Dataset) -> None:
        asked_first.append(asked.TransactionUID)
        if answers.is_set():
            call(listening, *report(asked))

    with archive(answering) as port, committing(tmp_path / "gateway", port, listening) as lab:
        upload_id, client = upload(lab, study(2))
        client.complete(upload_id, wait_s=0)
        wait_until("it was asked", lambda: len(asked_first) == 1)
        lab.kill()
        answers.set()
        lab.start()
        assert client.outcome(upload_id)["state"] == "success"
        assert receipt_of(lab, client, upload_id)["verification"] == "committed"
        assert len(set(asked_first)) == len(asked_first) == 2
