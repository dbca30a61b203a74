"""Mails through a real SMTP server: who gets one, what is in it, and what is not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from ipaddress import ip_address
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from gateway.demo.local_ca import open_authority
from gateway.telling.mail import Mail
from gateway.telling.messages import NotSent
from tests.commands.site import send
from tests.component.gateway_app import gateway_app, init_body
from tests.unit.delivery.little_pacs import Toy, toys

USER, PASSWORD = "relay", "open sesame"
DECLARED = {"patient_name": "Mustermann^Erika", "patient_id": "P1"}
UPLOADER = {"name": "Dr. Who", "email": "who@example.org"}


@dataclass
class Postbox:
    """:ivar refuses: what it answers to the next recipients, then 250."""

    port: int = 0
    refuses: list[str] = field(default_factory=list)
    mails: list[tuple[list[str], Message]] = field(default_factory=list)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:
        if self.refuses:
            return self.refuses.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content)))
        return "250 OK"

    @property
    def toml(self) -> str:
        return f'[mail]\nsmtp = "smtp://127.0.0.1:{self.port}"\nfrom = "RelayPACS <relay@example.org>"\n'


class _Office(Controller):
    """On a port that the system chooses."""

    def _trigger_server(self) -> None:
        """One connection, as its own start makes it: the server says then that it is there."""
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        with contextlib.ExitStack() as opened:
            line = opened.enter_context(socket.create_connection(("127.0.0.1", self.port), 5))
            if self.ssl_context is not None:
                anybody = ssl.create_default_context()
                anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
                line = opened.enter_context(anybody.wrap_socket(line))
            line.recv(1024)


@contextmanager
def post_office(**known: Any) -> Iterator[Postbox]:
    box = Postbox()
    office = _Office(box, hostname="127.0.0.1", port=0, **known)
    office.start()
    box.port = office.port
    try:
        yield box
    finally:
        office.stop()


@pytest.fixture
def box() -> Iterator[Postbox]:
    with post_office() as box:
        yield box


def text_of(mail: Message) -> str:
    return mail.as_string() + mail.get_payload(decode=True).decode()  # type: ignore[union-attr]


async def test_whom_an_endpoint_names_and_the_uploader_hear_how_it_ended_and_not_of_whom(tmp_path, box):
    toml = f'{box.toml}[endpoints.ris]\nurl = "http://127.0.0.1:9/dicom-web"\nmail = ["radiology@example.org"]\n'
    async with gateway_app(tmp_path, toml=toml) as gate:
        opened = await send(
            gate, await gate.person(), *toys(2), endpoint_id="ris", study_metadata=DECLARED, uploader=UPLOADER
        )
        await gate.deliver()
        receipt = (await gate.status(opened))["pacs_receipt_id"]
        assert sorted(to for (to,), _ in box.mails) == ["radiology@example.org", "who@example.org"]
        for (to,), mail in box.mails:
            text = text_of(mail)
            assert (mail["To"], mail["From"]) == (to, "RelayPACS <relay@example.org>")
            assert mail["Auto-Submitted"] == "auto-generated"
            for said in (opened.upload_id, "ris", "success", receipt):
                assert said in text
            for secret in (*DECLARED.values(), "Dr. Who", "DOE"):
                assert secret not in text


async def test_without_an_address_nobody_hears(tmp_path, box):
    async with gateway_app(tmp_path, toml=box.toml) as gate:
        person = await gate.person()
        await send(gate, person, *toys(1), uploader={"email": ""})
        await gate.deliver()
        assert box.mails == []
        for email in (" ", "not an address", "a@b\r\nBcc: all@example.org", "a@b,c@d"):
            wish = init_body(uploader={"email": email})
            refused = await gate.ask("POST", "/upload/init", person.token, json=wish)
            assert (refused.code, refused.json["field"]) == ("invalid_field", "uploader.email")


async def test_a_held_upload_is_told_with_its_reasons(tmp_path, box):
    async with gateway_app(tmp_path, toml=box.toml) as gate:
        two = [Toy("3.1", patient_id="P3"), Toy("3.2", patient_id="P4", birth_date="19800101")]
        await send(gate, await gate.person(), *two, uploader=UPLOADER)
        await gate.deliver()
        ((_, mail),) = box.mails
        assert "two_patients" in text_of(mail)
        assert "held" in mail["Subject"]


async def test_a_server_that_is_busy_is_asked_again_with_the_same_message_id(tmp_path, box):
    async with gateway_app(tmp_path, toml=box.toml) as gate:
        box.refuses = ["451 later"] * 2
        await send(gate, await gate.person(), *toys(1), uploader=UPLOADER)
        await gate.deliver(for_s=900)
        ((_, mail),) = box.mails
        assert mail["Message-ID"].startswith("<msg_")
        assert mail["Message-ID"].endswith("@example.org>")


async def test_an_address_that_is_refused_for_good_is_not_tried_again(tmp_path, box):
    async with gateway_app(tmp_path, toml=box.toml) as gate:
        box.refuses = ["550 no such mailbox"]
        await send(gate, await gate.person(), *toys(1), uploader=UPLOADER)
        await gate.deliver(for_s=3600)
        assert (box.mails, await gate.count("jobs")) == ([], 0)


def mail_to(box: Postbox, **known: Any) -> Mail:
    defaults: dict[str, Any] = {
        "host": "localhost", "port": box.port, "tls": False, "sender": "relay@example.org",
        "events": (), "by_endpoint": {}, "to_uploaders": True,
    }  # fmt: skip
    return Mail(**(defaults | known))


@pytest.mark.parametrize("tls", [True, False], ids=["smtps", "starttls"])
def test_over_tls_the_user_is_let_in_with_the_password_and_nobody_without(tmp_path, tls):
    now, here = datetime.now(UTC), ip_address("127.0.0.1")
    authority, _ = open_authority(tmp_path / "authority.pem", ("localhost",), here, now)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "server.pem").write_bytes(authority.issue(["localhost"], [here], now))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)

    line = {"ssl_context": context} if tls else {"tls_context": context, "require_starttls": True}
    with post_office(**line, authenticator=check, auth_required=not tls, auth_require_tls=not tls) as box:
        good = mail_to(box, tls=tls, user=USER, password=PASSWORD, ca_bundle=str(tmp_path / "ca.pem"))
        assert good.probe() == "can be reached, and lets us in"
        for wrong, code in (
            ({"password": "x", "user": USER, "ca_bundle": good.ca_bundle}, "login_refused"),
            ({"password": PASSWORD, "user": USER}, "tls_failed"),
        ):
            with pytest.raises(NotSent, match=f"^{code}$"):
                mail_to(box, tls=tls, **wrong).probe()


def test_a_server_that_is_not_there_is_said_so():
    with pytest.raises(NotSent, match=r"^connect_failed$"):
        mail_to(Postbox(port=1), host="127.0.0.1").probe()
