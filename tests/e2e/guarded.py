"""A real nginx in front of an archive, which wants an access token or a client certificate, and a small token issuer."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import http.server
import ipaddress
import json
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.lab import wait_until
from tests.e2e.orthanc import PASSWORD, USER, Orthanc
from tests.e2e.test_proxies import _listens
from tools.ports import free_port

CLIENT_ID, CLIENT_SECRET = "relay+gateway", "a secret: with/odd?letters%"


@dataclass(frozen=True)
class Papers:
    """A certificate and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """Makes certificates that end tomorrow."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.cert = folder / f"{name}.pem"
        signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(True, None), critical=True)
            .add_extension(signs, critical=True)
        )
        self.cert.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=30))
            # RFC 5280 wants both; Python 3.13 and newer look.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def papers(self, name: str) -> Papers:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = self._builder(subject, key).add_extension(x509.SubjectAlternativeName(names), critical=False)
        found = Papers(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        found.cert.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        found.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return found


@dataclass
class Issuer:
    """Gives out tokens (RFC 6749 section 4.4), and tells nginx which are good.

    :ivar life_s: what it says of them.
    :ivar only_in_body: it wants id and secret in the form.
    """

    life_s: int = 3600
    only_in_body: bool = False
    good: set[str] = field(default_factory=set)
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def token_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/token"

    def token(self, form: dict[str, str], header: str) -> tuple[int, dict[str, object]]:
        self.asked.append(form)
        given = (form.get("client_id"), form.get("client_secret"))
        if header and not self.only_in_body:
            name, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
            given = (unquote(name), unquote(secret))
        if given != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client"}
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        self.good.add(token := secrets.token_urlsafe(24))
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": self.life_s}


@contextlib.contextmanager
def issuing() -> Iterator[Issuer]:
    issuer = Issuer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            flat = {name: values[0] for name, values in form.items()}
            self._answer(*issuer.token(flat, self.headers.get("Authorization", "")))

        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            self._answer(204 if given in issuer.good else 401, {})

        def _answer(self, status: int, told: dict[str, object]) -> None:
            body = json.dumps(told).encode() if status != 204 else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Guard:
    """The two ways to the archive."""

    by_token: str
    by_certificate: str


@contextlib.contextmanager
def guarded(folder: Path, archive: Orthanc, issuer: Issuer, server: Papers, clients: Path) -> Iterator[Guard]:
    """:param clients: certificate of the authority whose clients may pass."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program, "nginx is missing: apt-get install nginx-light"
    tokens, certificates = free_port(), free_port()
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    tls = f"ssl_certificate {server.cert}; ssl_certificate_key {server.key};"
    way = (
        f"proxy_request_buffering off; proxy_http_version 1.1; proxy_set_header Authorization "
        f'"Basic {basic}"; proxy_set_header Host 127.0.0.1:{archive.port}; proxy_pass {archive.url};'
    )
    temp = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ {temp} access_log off; client_max_body_size 0;"
        f"server {{ listen 127.0.0.1:{tokens} ssl; {tls} location / {{ auth_request /good; {way} }}"
        f"  location = /good {{ internal; proxy_pass_request_body off; proxy_set_header Content-Length ''; "
        f"    proxy_pass http://127.0.0.1:{issuer.port}/good; }} }}"
        f"server {{ listen 127.0.0.1:{certificates} ssl; {tls} ssl_client_certificate {clients}; "
        f"ssl_verify_client on; location / {{ {way} }} }} }}"
    )
    command = [program, "-c", str(conf), "-p", str(folder), "-e", str(folder / "error.log")]
    with (folder / "out").open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            wait_until("nginx listens", lambda: _listens(tokens) and _listens(certificates))
            yield Guard(f"https://127.0.0.1:{tokens}/dicom-web", f"https://127.0.0.1:{certificates}/dicom-web")
        finally:
            process.terminate()
