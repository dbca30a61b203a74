"""Routes before real archives: two Orthancs, DCMTK's storescp and a folder."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pynetdicom import evt

from tests.dicom_samples import SECONDARY_CAPTURE, instance, study
from tests.e2e.conftest import pacs_of
from tests.e2e.dicom_peers import StoreScp, scp, storescp
from tests.e2e.lab import Http, Lab, running_lab, wait_until
from tests.e2e.orthanc import PASSWORD, USER, Orthanc, running_orthanc
from tests.e2e.test_outage import digests_of, upload
from tests.e2e.test_real_series import digests_in

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("routes")


@pytest.fixture(scope="module")
def peer(folder: Path) -> Iterator[StoreScp]:
    with storescp(folder / "scp", "+B") as running:
        yield running


@pytest.fixture(scope="module")
def refusing() -> Iterator[int]:
    """A peer that refuses every instance: the data set doesn't match (A900)."""
    with scp([(evt.EVT_C_STORE, lambda _event: 0xA900)], [SECONDARY_CAPTURE]) as port:
        yield port


@pytest.fixture(scope="module")
def inbox(folder: Path) -> Path:
    (folder / "inbox").mkdir()
    return folder / "inbox"


@pytest.fixture(scope="module")
def second(folder: Path) -> Iterator[Orthanc]:
    (folder / "second").mkdir()
    with running_orthanc(folder / "second") as archive:
        yield archive


@pytest.fixture(scope="module")
def lab(
    folder: Path, orthanc_of_session: Orthanc, second: Orthanc, peer: StoreScp, refusing: int, inbox: Path
) -> Iterator[Lab]:
    settings: dict[str, dict[str, Any]] = {
        "endpoints.main": {"default": True},
        "endpoints.second": {"url": second.dicomweb_url},
        "endpoints.second.auth": {"kind": "basic", "username": USER, "password": PASSWORD},
        "endpoints.scp": {"kind": "dimse", "host": "127.0.0.1", "port": peer.port, "called_aet": "SCP"},
        "endpoints.inbox": {"kind": "folder", "path": str(inbox)},
        "endpoints.full": {"kind": "dimse", "host": "127.0.0.1", "port": refusing, "called_aet": "FULL"},
        "[routes]": {"to": ["main", "scp", "inbox"]},
        "routes.when": {"modality": ["CT"]},
    }
    pacs = pacs_of(orthanc_of_session)
    with running_lab(folder / "gateway", pacs, settings=settings, serving=False) as lab:
        more = """
            [[routes]]
            when = { modality = "MR" }
            to = ["main", "second"]
            [[routes]]
            when = { modality = "XA" }
            to = ["full"]
            fallback = ["inbox"]
        """
        lab.config.write_text(lab.config.read_text() + more)
        lab.start()
        yield lab


def deliveries(status: Any) -> dict[str, str]:
    return {one["endpoint_id"]: one["state"] for one in status["deliveries"]}


def receipt_at(client: Http, upload_id: str, endpoint_id: str) -> Any:
    """What the receipt of one delivery says, its signature checked."""
    jws = client.call("GET", f"/upload/{upload_id}/receipt?endpoint_id={endpoint_id}").expect(200).body
    keys = client.call("GET", "/.well-known/jwks.json").expect(200).json["keys"]
    header, payload, signature = (base64.urlsafe_b64decode(part + b"==") for part in jws.strip().split(b"."))
    (key,) = (one for one in keys if one["kid"] == json.loads(header)["kid"])
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))
    public.verify(signature, jws.strip().rpartition(b".")[0])
    return json.loads(payload)


def test_an_archive_a_peer_and_a_folder_have_it_each_with_a_receipt_of_its_own(
    lab: Lab, orthanc: Orthanc, peer: StoreScp, inbox: Path
) -> None:
    files = study(6, modality="CT")
    upload_id, client = upload(lab, files)
    done = client.complete(upload_id).expect(200).json
    assert done["status"] == "success"
    assert deliveries(done) == {"main": "success", "scp": "success", "inbox": "success"}
    assert digests_in(orthanc) == digests_of(files)
    assert digests_of([path.read_bytes() for path in inbox.rglob("*.dcm")]) == digests_of(files)
    assert len(peer.data_sets()) == 6
    for name in ("main", "scp", "inbox"):
        receipt = receipt_at(client, upload_id, name)
        assert (receipt["endpoint_id"], len(receipt["instances"])) == (name, 6)
        assert {one["outcome"] for one in receipt["instances"]} == {"stored"}
    lab.spool_empties()


def test_killed_between_two_deliveries_each_archive_has_it_once_and_nobody_was_told_before(
    lab: Lab, orthanc: Orthanc, second: Orthanc
) -> None:
    second.stop()
    files = study(8, modality="MR", pixel_bytes=20_000)
    upload_id, client = upload(lab, files)
    waiting = client.complete(upload_id, wait_s=0).expect(202).json
    assert waiting["state"] == "delivering"
    wait_until("the first has it", lambda: deliveries_of(client, upload_id).get("main") == "success")
    lab.kill()
    lab.start()
    status = client.status(upload_id)
    assert (status["state"], status["pacs_receipt_id"]) == ("delivering", None)
    assert client.call("GET", f"/upload/{upload_id}/receipt").expect(404).code == "no_receipt_yet"
    assert lab.segments(), "its bytes are needed still"

    second.start()
    assert client.outcome(upload_id)["state"] == "success"
    assert digests_in(orthanc) == digests_in(second) == digests_of(files)
    receipts = [receipt_at(client, upload_id, name)["pacs_receipt_id"] for name in ("main", "second")]
    assert len(set(receipts)) == 2
    lab.spool_empties()


def deliveries_of(client: Http, upload_id: str) -> dict[str, str]:
    status = client.status(upload_id)
    return deliveries(status) if "deliveries" in status else {}


def test_a_fallback_has_what_the_endpoint_refuses(lab: Lab, inbox: Path) -> None:
    files = [instance(modality="XA")]
    upload_id, client = upload(lab, files)
    client.complete(upload_id, wait_s=0)
    status = client.outcome(upload_id)
    assert status["state"] == "success"
    assert deliveries(status) == {"full": "failed", "inbox": "success"}
    assert set(digests_of(files)) <= set(digests_of([path.read_bytes() for path in inbox.rglob("*.dcm")]))
    assert ("refused_by_pacs", "full") in {(one["code"], one.get("endpoint_id")) for one in status["warnings"]}
