"""The demo's own authority, judged by OpenSSL as a client would."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from gateway.demo.lan import hostnames, lan_addresses
from gateway.demo.local_ca import Authority, UnusableAuthority, open_authority

NOW = datetime.now(UTC)
HOSTS = ("ward7", "ward7.local", "localhost")
HOME = ip_address("192.168.1.20")


def opened(folder: Path, *, hosts=HOSTS, address=HOME, now=NOW) -> tuple[Authority, bool]:
    return open_authority(folder / "ca.pem", hosts, address, now)


def refusal(authority: Authority, issued: bytes, folder: Path, asked: str) -> str:
    """What a client that trusts only the authority says of a server; nothing if it is content."""
    (folder / "server.pem").write_bytes(issued)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "server.pem")
    asking = ssl.create_default_context(cadata=authority.der)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(back, there, server_hostname=asked)
    server = serving.wrap_bio(there, back, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return ""


@dataclass(frozen=True, slots=True)
class Stolen(Authority):
    """The same key in the hands of somebody who doesn't keep to what the certificate says."""

    def vouches_for(self, name):
        return True


@pytest.mark.parametrize("asked", [*HOSTS, "192.168.1.20", "127.0.0.1"])
def test_a_client_that_trusts_the_authority_is_content(tmp_path, asked):
    authority, _ = opened(tmp_path)
    issued = authority.issue(HOSTS, [HOME, ip_address("127.0.0.1")], NOW)
    assert refusal(authority, issued, tmp_path, asked) == ""


def test_a_name_that_is_not_this_machines_is_refused(tmp_path):
    authority, _ = opened(tmp_path)
    issued = authority.issue(HOSTS, [HOME], NOW)
    assert "mismatch" in refusal(authority, issued, tmp_path, "192.168.1.21")


@pytest.mark.parametrize("asked", ["bank.example", "8.8.8.8"])
def test_a_stolen_authority_can_not_pose_as_others(tmp_path, asked):
    authority, _ = opened(tmp_path)
    thief = Stolen(authority.certificate, authority.key)
    is_address = asked[0].isdigit()
    issued = thief.issue([] if is_address else [asked], [ip_address(asked)] if is_address else [], NOW)
    assert "subtree" in refusal(authority, issued, tmp_path, asked)


def test_the_authority_is_kept_for_every_private_address(tmp_path):
    first, new = opened(tmp_path)
    again, newer = opened(tmp_path, address=ip_address("10.1.2.3"))
    assert (new, newer) == (True, False)
    assert again.der == first.der


@pytest.mark.parametrize(
    "other",
    [
        {"hosts": ("ward8", "ward8.local", "localhost")},
        {"address": ip_address("198.51.100.7")},
        {"now": NOW + timedelta(days=725)},
    ],
    ids=["another name", "a public address", "near its end"],
)
def test_an_authority_that_can_not_vouch_is_made_anew(tmp_path, other):
    first, _ = opened(tmp_path)
    again, new = opened(tmp_path, **other)
    assert new
    assert again.fingerprint != first.fingerprint
    assert again.name != first.name, "a phone lists both, and its owner sees which is which"


def test_browsers_take_the_servers_lifetime(tmp_path):
    authority, _ = opened(tmp_path)
    for now in (NOW, NOW + timedelta(days=600)):
        server = x509.load_pem_x509_certificate(authority.issue(HOSTS, [HOME], now))
        assert server.not_valid_before_utc < now < server.not_valid_after_utc
        assert server.not_valid_after_utc - server.not_valid_before_utc <= timedelta(days=397)
        assert server.not_valid_after_utc <= authority.certificate.not_valid_after_utc


def test_its_name_says_what_it_is_and_where(tmp_path):
    authority, _ = opened(tmp_path, hosts=hostnames("a" * 63 + ".radiology.example.org"))
    assert authority.name.startswith("RelayPACS demo CA on aaa")
    assert "not for patients' data" in authority.certificate.subject.rfc4514_string()


@pytest.mark.parametrize("content", [b"", b"junk", b"half"])
def test_a_damaged_file_is_not_replaced_unasked(tmp_path, content):
    opened(tmp_path)
    path = tmp_path / "ca.pem"
    path.write_bytes(path.read_bytes()[:300] if content == b"half" else content)
    before = path.read_bytes()
    with pytest.raises(UnusableAuthority):
        opened(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("told", "names"),
    [
        ("Ward7", ("ward7", "ward7.local", "localhost")),
        ("ward7.example.org", ("ward7.example.org", "ward7.local", "localhost")),
        ("localhost", ("localhost", "localhost.local")),
        ("my_laptop", ("localhost",)),
        ("", ("localhost",)),
    ],
)
def test_names_that_fit_a_certificate(told, names):
    assert hostnames(told) == names


def test_addresses_are_ones_that_others_could_reach():
    for one in lan_addresses():
        assert not (one.is_loopback or one.is_link_local or one.is_unspecified)
