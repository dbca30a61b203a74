"""From the first byte to all instances verified in a real archive: through the gateway, and by STOW-RS straight."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Protocol

from bench.client import Connection, Refused, Tus
from bench.loads import Figures, Meter, in_parallel, send_file
from bench.measure import Cpu
from bench.payload import Part, Payload, Series
from bench.servers import Gateway, Orthanc

UPLOAD_CONNECTIONS = 16
#: As many as the gateway has for an archive (`delivery.connections`).
STOW_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be delivered."""

    instances: int
    size: int

    def parts(self) -> tuple[str, list[Part]]:
        """StudyInstanceUID and the instances."""
        series = Series(self.size)
        return series.study_uid, [series.instance(number) for number in range(self.instances)]


class Way(Protocol):
    """A way into the archive."""

    name: str

    def __call__(self, wish: Wish, /) -> Figures:
        """One measured run."""


class Through:
    """tus into the gateway, completed, delivered by it as it is configured, verified by it."""

    name = "gateway"

    def __init__(self, gateway: Gateway, orthanc: Orthanc, payload: Payload) -> None:
        self._gateway = gateway
        self._orthanc = orthanc
        self._payload = payload

    def __call__(self, wish: Wish) -> Figures:
        _, parts = wish.parts()
        url, token = self._gateway.open(len(parts), sum(part.size for part in parts))
        assert token is not None
        meter, pacs = Meter(self._gateway.tree), self._orthanc.tree.cpu()
        with meter:
            in_parallel(
                lambda: Tus(url, self._payload, token),
                lambda tus, number: send_file(tus, number, parts[number], whole=True),
                len(parts),
                UPLOAD_CONNECTIONS,
            )
            received = time.perf_counter()
            status = self._gateway.complete(token)
            rest_s = time.perf_counter() - received
        if status != "success":
            raise Refused(f"the gateway's delivery ended as {status}")
        meter.figures["after_last_byte_s"] = rest_s
        return _done(meter.figures, wish, self._orthanc.tree.cpu() - pacs)


class Straight:
    """STOW-RS with Content-Length by a client that holds the files already; then QIDO-RS until all are shown.

    :param batch: instances per request.
    :param connections: with one request each under way. One is what dicomweb-client, or a script, has.
    """

    def __init__(self, batch: int, orthanc: Orthanc, payload: Payload, connections: int = STOW_CONNECTIONS) -> None:
        self.name = f"stow:{batch}" if connections == STOW_CONNECTIONS else f"stow:{batch}x{connections}"
        self._batch = batch
        self._connections = connections
        self._orthanc = orthanc
        self._payload = payload

    def __call__(self, wish: Wish) -> Figures:
        study_uid, parts = wish.parts()
        batches = [parts[at : at + self._batch] for at in range(0, len(parts), self._batch)]
        meter = Meter(self._orthanc.tree)
        with meter:
            in_parallel(
                self._connect, lambda connection, n: _store(connection, batches[n]), len(batches), self._connections
            )
            received = time.perf_counter()
            self._verify(study_uid, len(parts))
            rest_s = time.perf_counter() - received
        pacs = Cpu(meter.figures["user_s"], meter.figures["system_s"])
        for name in [name for name in meter.figures if name.startswith(("cpu_", "user_", "system_", "rss_", "pss_"))]:
            del meter.figures[name]  # of the archive, not of a gateway
        meter.figures["after_last_byte_s"] = rest_s
        return _done(meter.figures, wish, pacs)

    def _connect(self) -> Connection:
        return Connection(self._orthanc.url, self._payload, {"Authorization": self._orthanc.authorization})

    def _verify(self, study_uid: str, wanted: int) -> None:
        connection = self._connect()
        path = f"/dicom-web/studies/{study_uid}/instances?limit=1000&offset="
        end = time.monotonic() + 60
        while time.monotonic() < end:
            shown = 0
            while True:
                answer = connection.request("GET", f"{path}{shown}", {"Accept": "application/dicom+json"})
                page = len(answer.json()) if answer.status == 200 else 0
                shown += page
                if page < 1000:
                    break
            if shown == wanted:
                connection.close()
                return
            time.sleep(0.1)
        raise Refused("the archive doesn't show what it took")


def _store(connection: Connection, batch: list[Part]) -> None:
    boundary = secrets.token_hex(16)
    part_head = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    end = f"\r\n--{boundary}--\r\n".encode()
    length = sum(len(part_head) + part.size for part in batch) + len(end)
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    connection.begin("POST", "/dicom-web/studies", headers, length)
    for part in batch:
        connection.write(part_head + part.head)
        connection.send(part.size - len(part.head), part.at)
    connection.write(end, last=True)
    answer = connection.answer("POST")
    stored = json.loads(answer.body).get("00081199", {}).get("Value", []) if answer.status == 200 else []
    if len(stored) != len(batch):
        raise Refused(f"STOW-RS: {answer.status}, {len(stored)} of {len(batch)}")


def _done(figures: Figures, wish: Wish, pacs: Cpu) -> Figures:
    figures["instances_s"] = wish.instances / figures["wall_s"]
    figures["pacs_cpu_s"] = pacs.total_s
    return figures
