"""The audit trail's way to a repository: a real receiver over TLS, frames of RFC 5425, at least once, by number."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gateway.audit.repository import AuditRepository
from gateway.audit.retention import AuditRetention
from gateway.audit.syslog import SyslogReceiver, frame
from gateway.demo.local_ca import open_authority
from gateway.errors import Unavailable
from gateway.ledger.base import Transaction
from gateway.ledger.settings import Setting
from gateway.ledger.sqlite.ledger import SqliteLedger
from tests.clocks import ManualClock

KEY = b"k" * 32


@dataclass
class Repository:
    """A receiver. :ivar cuts: so many connections are broken in their middle."""

    folder: Path
    cuts: int = 0
    port: int = 0
    came: list[bytes] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            while size := (await reader.readuntil(b" ")).strip():
                self.came.append(await reader.readexactly(int(size)))
                if self.cuts:
                    self.cuts -= 1
                    writer.transport.abort()
                    return
        writer.close()

    @property
    def numbers(self) -> list[int]:
        """Of the events, by PROCID."""
        return [int(message.split(b" ")[4]) for message in self.came]

    def receiver(self, **known: object) -> SyslogReceiver:
        own = {"ca": self.folder / "ca.pem", "cert": self.folder / "ours.pem", "key": self.folder / "ours.key"}
        return SyslogReceiver("localhost", self.port, **own | known)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, now, here = tmp_path_factory.mktemp("tls"), datetime.now(UTC), ip_address("127.0.0.1")
    authority, _ = open_authority(folder / "authority.pem", ("localhost",), here, now)
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "server.pem").write_bytes(authority.issue(["localhost"], [here], now))
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=relay", "-addext", "extendedKeyUsage=clientAuth"]
    subprocess.run(
        [*words, "-keyout", folder / "ours.key", "-out", folder / "ours.pem"], check=True, capture_output=True
    )
    return folder


@pytest.fixture
async def repository(certificates: Path) -> AsyncIterator[Repository]:
    """It wants to know who sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    context.load_verify_locations(certificates / "ours.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    found = Repository(certificates)
    server = await asyncio.start_server(found.handle, "127.0.0.1", 0, ssl=context)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    opened = await SqliteLedger.open(tmp_path / "relaypacs.db", audit_key=KEY)
    yield opened
    await opened.close()


async def events(ledger: SqliteLedger, count: int, at: float = 1_800_000_000.25) -> None:
    def act(tx: Transaction) -> None:
        for _ in range(count):
            tx.audit.append("upload.opened", at=at, actor="account:a", upload_id="0a" * 16, detail={"endpoint": "main"})

    await ledger.write(act)


async def test_every_event_comes_by_number_and_none_again(ledger, repository):
    await events(ledger, 450)
    sending = AuditRepository(ledger, repository.receiver(), "https://relay.example.org")
    assert await sending.catch_up() == 450
    assert repository.numbers == list(range(1, 451))
    assert await sending.catch_up() == 0
    await events(ledger, 2)
    assert await AuditRepository(ledger, repository.receiver(), "x").catch_up() == 2
    assert repository.numbers[-2:] == [451, 452]


async def test_a_message_is_what_the_profile_says(ledger, repository):
    await events(ledger, 1)
    await AuditRepository(ledger, repository.receiver(), "https://relay.example.org").catch_up()
    head, _, xml = repository.came[0].partition(b"\xef\xbb\xbf")
    priority, time, _host, app, number, msgid, data, _ = head.decode().split(" ")
    assert (priority, time) == ("<85>1", "2027-01-15T08:00:00.250000Z")
    assert (app, number, msgid, data) == ("RelayPACS", "1", "DICOM+RFC3881", "-")
    message = ET.fromstring(xml)
    assert message.tag == "AuditMessage"
    source = message.find("AuditSourceIdentification")
    assert source is not None and source.get("AuditSourceID") == "https://relay.example.org"


async def test_a_connection_that_breaks_in_the_middle_loses_nothing(ledger, repository):
    await events(ledger, 200)  # more than it takes off the line at once: our close isn't answered before the cut
    repository.cuts = 2
    sending = AuditRepository(ledger, repository.receiver(), "x")
    for _ in range(2):
        with pytest.raises(Unavailable, match="audit repository"):
            await sending.catch_up()
    assert await ledger.read(lambda tx: tx.settings.get(Setting.AUDIT_SENT)) is None
    assert await sending.catch_up() == 200
    assert repository.numbers[-200:] == list(range(1, 201))


async def test_a_repository_that_only_hangs_up_is_sent_each_batch_a_few_times_and_no_more(ledger, repository):
    class Rude(SyslogReceiver):
        __slots__ = ()

        def send(self, messages):
            list(messages)
            return False

    await events(ledger, 3)
    sending = AuditRepository(ledger, Rude("localhost", 1), "x")
    for _ in range(2):
        with pytest.raises(Unavailable, match="hangs up"):
            await sending.catch_up()
    assert await sending.catch_up() == 3


async def test_who_is_not_who_it_should_be_gets_nothing(ledger, repository):
    await events(ledger, 1)
    for wrong in ({"cert": None, "key": None}, {"ca": None}, {"port": 1}):
        receiver = repository.receiver() if "port" not in wrong else SyslogReceiver("localhost", 1)
        receiver = repository.receiver(**wrong) if "port" not in wrong else receiver
        with pytest.raises(Unavailable):
            await AuditRepository(ledger, receiver, "x").catch_up()
    assert repository.came == []
    assert await asyncio.to_thread(repository.receiver().probe) == "can be reached; nothing was sent"


async def test_an_event_stays_until_the_repository_has_it(ledger, repository):
    await events(ledger, 5, at=1.0)
    retention = AuditRetention(ledger, ManualClock(), 86400.0, None, repository=True)
    assert await retention.run_once() == 0
    await AuditRepository(ledger, repository.receiver(), "x").catch_up()
    assert await retention.run_once() == 4  # never the last


def test_a_frame_says_its_length_in_octets():
    made = frame("<a>ü</a>".encode(), at=0.0, hostname="h", number=7)
    size, _, message = made.partition(b" ")
    assert len(message) == int(size)
