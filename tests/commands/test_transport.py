"""`serve` as a process: plain HTTP stays on this machine, TLS is 1.2 or newer, and what every answer says over it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import json
import os
import secrets
import select
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.lab import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed one for 127.0.0.1: certificate and key, PEM."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, secret


def configuration(folder: Path, server: str, more: str = "") -> Path:
    path = folder / "relaypacs.toml"
    path.write_text(f"""
[server]
port = 0
{server}
[database]
url = "sqlite://{folder}/data/relaypacs.db"
[spool]
url = "file://{folder}/spool"
[spool.keys]
active = "k1"
k1 = "{base64.b64encode(secrets.token_bytes(32)).decode()}"
[tokens]
secret = "{secrets.token_hex(32)}"
[endpoints.main]
url = "http://127.0.0.1:1/dicom-web"
[audit]
file = "{folder}/audit.jsonl"
{more}
""")
    return path


@contextlib.contextmanager
def serving(config: Path) -> Iterator[tuple[str, int]]:
    """Scheme and port of a gateway; its log is beside the configuration."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "RELAYPACS_CONFIG": str(config)}
    with (
        config.with_name("log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"], stdout=subprocess.PIPE, stderr=log, text=True, env=environ
        ) as process,
    ):
        assert process.stdout is not None
        try:
            ready, _, _ = select.select([process.stdout], [], [], 60)
            line = process.stdout.readline() if ready else ""
            assert line.startswith("listening on "), config.with_name("log").read_text()
            scheme, _, rest = line.split()[-1].partition("://")
            yield scheme, int(rest.rpartition(":")[2])
        finally:
            process.terminate()
            assert process.wait(30) == 0


@pytest.fixture(scope="module")
def tls(tmp_path_factory, certificate):
    """A gateway that speaks TLS itself and logs JSON, and what trusts its certificate."""
    folder = tmp_path_factory.mktemp("gateway")
    cert, key = certificate
    config = configuration(folder, f'tls_cert = "{cert}"\ntls_key = "{key}"', '[log]\nformat = "json"')
    with serving(config) as (scheme, port):
        assert scheme == "https"
        yield port, ssl.create_default_context(cafile=str(cert)), folder


def test_over_tls_every_answer_says_to_come_back_over_tls_only(tls):
    port, trust, _ = tls
    for path, status in (("/healthz", 200), ("/endpoints", 401), ("/nowhere", 404)):
        with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=20)) as line:
            line.request("GET", path)
            answer = line.getresponse()
            answer.read()
        assert answer.status == status
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(tls, version):
    port, trust, _ = tls
    assert trust.cert_store_stats()["x509_ca"]
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(trust.get_ca_certs(binary_form=True)[0]))
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as line,
    ):
        assert line.version() == version.name.replace("_", ".")


def test_older_versions_are_refused(tls):
    port, *_ = tls
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # the client is willing: it is the gateway that isn't
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(raw)


def test_plain_http_gets_nothing_where_tls_is_spoken(tls):
    port, *_ = tls
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as line:
        line.request("GET", "/healthz")
        with pytest.raises((http.client.HTTPException, OSError)):
            line.getresponse()


def test_the_log_is_json_with_route_templates(tls):
    port, trust, folder = tls
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=20)) as line:
        line.request("GET", f"/upload/{'a' * 32}/status?name=Mustermann", headers={"Authorization": "Bearer x"})
        line.getresponse().read()
    log = folder / "log"
    # Lines are written together.
    wait_until("it is in the log", lambda: "/upload/{upload_id}/status" in log.read_text())
    text = log.read_text()
    said = [json.loads(one) for one in text.splitlines()]
    assert {"method", "route", "status", "ms", "request_id"} <= said[-1].keys()
    assert said[-1]["route"] == "/upload/{upload_id}/status"
    assert "Mustermann" not in text
    assert "a" * 32 not in text


def refused(config: Path) -> str:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "RELAYPACS_CONFIG": str(config)}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve"], capture_output=True, text=True, env=environ, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    return done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_plain_http_off_loopback_is_refused(tmp_path, host):
    assert "plain HTTP off loopback is refused" in refused(configuration(tmp_path, f'host = "{host}"'))


def test_a_certificate_that_can_not_be_used_is_one_line(tmp_path, certificate):
    cert, _ = certificate
    config = configuration(tmp_path, f'tls_cert = "{cert}"\ntls_key = "{cert}"')
    assert "tls_cert and server.tls_key can't be used" in refused(config)


def test_behind_a_trusted_proxy_plain_http_is_spoken(tmp_path):
    with serving(configuration(tmp_path, 'host = "0.0.0.0"\ntrusted_proxies = ["127.0.0.1"]')) as (scheme, port):
        assert scheme == "http"
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as line:
            line.request("GET", "/healthz", headers={"X-Forwarded-Proto": "https"})
            answer = line.getresponse()
            answer.read()
        assert answer.status == 200
        assert answer.headers["Strict-Transport-Security"]


def test_starting_and_stopping_are_events_and_the_file_has_them(tmp_path):
    config = configuration(tmp_path, "")
    for _ in range(2):
        with serving(config):
            pass
    config.write_text(config.read_text().replace("[audit]", "[app]\nnotice = 'changed'\n[audit]"))
    with serving(config):
        pass
    events = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    names = [event["event"] for event in events]
    assert names.count("gateway.started") == names.count("gateway.stopped") == 3
    assert names[-1] == "gateway.stopped"
    assert [event["detail"]["changed"] for event in events if event["event"] == "config.loaded"] == [False, False, True]
    assert "changed" not in str([event["detail"].get("notice") for event in events])
