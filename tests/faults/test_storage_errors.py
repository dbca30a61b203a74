"""Writes, reads and fsyncs that fail: what is acknowledged is there, what isn't is sent again, no file is ever short."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.dicom_samples import study
from tests.e2e.lab import Http, Lab, Pacs, running_lab, wait_until
from tests.e2e.parrot import Parrot
from tests.e2e.series import sha256
from tests.faults.campaign import CHUNK_SIZE
from tests.faults.storage import FAULTS, SEGMENTS, fault, under_shim

pytestmark = pytest.mark.root


@dataclass
class Faulty:
    """A gateway whose storage fails when it is told to."""

    lab: Lab
    who: Http
    pacs: Parrot

    def fault(self, call: str, part: str, number: int) -> AbstractContextManager[None]:
        """See `storage.fault`."""
        return fault(self.lab, call, part, number)

    def arrived(self) -> list[str]:
        return sorted(sha256(one.content) for one in self.pacs.held.values())


@pytest.fixture(scope="module")
def gateway_of_module(tmp_path_factory: pytest.TempPathFactory, shim: Path) -> Iterator[Faulty]:
    folder = tmp_path_factory.mktemp("faulty") / "gateway"
    environment = under_shim(shim, folder)
    settings = {"uploads": {"chunk_size": CHUNK_SIZE}}
    with (
        Parrot() as pacs,
        running_lab(folder, Pacs(pacs.url), environment=environment, settings=settings) as lab,
    ):
        yield Faulty(lab, lab.login(), pacs)


@pytest.fixture
def gateway(gateway_of_module: Faulty) -> Faulty:
    gateway_of_module.pacs.held.clear()
    return gateway_of_module


@pytest.mark.parametrize(("call", "part", "number"), FAULTS)
def test_a_storage_that_fails_in_mid_upload_costs_no_acknowledged_byte_and_tells_none_that_is_not_there(
    gateway: Faulty, call: str, part: str, number: int
) -> None:
    by_tus, by_chunks = study(2, pixel_bytes=300_000)
    upload_id, client = gateway.lab.open_upload(gateway.who, [by_tus, by_chunks])
    made = client.create(len(by_tus), {"file_id": "a"}, by_tus[:100_000]).expect(201)
    url = made.headers["Location"]
    pieces = [by_chunks[at : at + CHUNK_SIZE] for at in range(0, len(by_chunks), CHUNK_SIZE)]
    client.chunk(upload_id, "b", 0, pieces[0], len(pieces)).expect(200)

    with gateway.fault(call, part, number):
        client.patch(url, 100_000, by_tus[100_000:200_000]).expect(503, 507)
        client.chunk(upload_id, "b", 1, pieces[1], len(pieces)).expect(503, 507)
    # An fsync that failed may have dropped pages: only what was acknowledged before counts.
    assert client.head(url).expect(200).offset == 100_000
    for index, piece in enumerate(pieces):
        client.chunk(upload_id, "b", index, piece, len(pieces)).expect(200)
    client.patch(url, 100_000, by_tus[100_000:]).expect(204)
    assert client.complete(upload_id).expect(200).json["status"] == "success"
    assert gateway.arrived() == sorted([sha256(by_tus), sha256(by_chunks)])
    gateway.lab.spool_empties()


def test_writes_that_the_system_cuts_short_are_made_whole(gateway: Faulty) -> None:
    (data,) = study(1, pixel_bytes=300_000)
    with gateway.fault("write", SEGMENTS, 0):
        upload_id, client = gateway.lab.open_upload(gateway.who, [data])
        client.create(len(data), {"file_id": "a"}, data).expect(201)
        assert client.complete(upload_id).expect(200).json["status"] == "success"
    assert gateway.arrived() == [sha256(data)]


def test_a_storage_that_cannot_be_read_delays_a_delivery_and_spoils_none(gateway: Faulty) -> None:
    (data,) = study(1, pixel_bytes=300_000)
    upload_id, client = gateway.lab.open_upload(gateway.who, [data])
    with gateway.fault("read", SEGMENTS, errno.EIO):
        client.create(len(data), {"file_id": "a"}, data).expect(201)
        client.complete(upload_id, wait_s=1).expect(202)
        assert gateway.arrived() == []
    assert client.outcome(upload_id)["state"] == "success"
    assert gateway.arrived() == [sha256(data)]
    gateway.lab.spool_empties()


def test_a_head_while_the_storage_cannot_be_read_condemns_no_file(gateway: Faulty) -> None:
    (data,) = study(1, pixel_bytes=300_000)
    upload_id, client = gateway.lab.open_upload(gateway.who, [data])
    url = client.create(len(data), {"file_id": "a"}, data[:100_000]).expect(201).headers["Location"]
    gateway.lab.kill()
    gateway.lab.start()
    with gateway.fault("read", SEGMENTS, errno.EIO):
        client.head(url).expect(503)
    assert client.head(url).expect(200).offset == 100_000
    client.patch(url, 100_000, data[100_000:]).expect(204)
    assert client.complete(upload_id).expect(200).json["status"] == "success"
    assert gateway.arrived() == [sha256(data)]


def test_a_purge_that_the_storage_hinders_is_done_when_it_can_be(gateway: Faulty) -> None:
    (data,) = study(1, pixel_bytes=300_000)
    upload_id, client = gateway.lab.open_upload(gateway.who, [data])
    client.create(len(data), {"file_id": "a"}, data[:100_000]).expect(201)
    with gateway.fault("fsync", SEGMENTS.rstrip("/"), errno.EIO):
        client.call("DELETE", f"/upload/{upload_id}").expect(204)
        wait_until("the purge tries", lambda: "the purge could not" in gateway.lab.log_text())
    gateway.lab.spool_empties()
    assert client.call("GET", f"/upload/{upload_id}/status").expect(410).json["state"] == "cancelled"
