"""A real OpenID Connect issuer (the npm package oidc-provider) as a process, and people who get tokens of it."""

from __future__ import annotations

import base64
import contextlib
import json
import select
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tools.node import node
from tools.ports import free_port

NODE = Path(__file__).parents[1] / "node"
AUDIENCE = "https://relay.example.org"
OTHER_AUDIENCE = "https://elsewhere.example.org"
SECRET = "a client's secret of some length"


def new_key(kid: str, algorithm: str) -> dict[str, Any]:
    """A private JWK."""
    key: Any
    if algorithm == "RS256":
        key = rsa.generate_private_key(65537, 2048)
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    jwk.pop("key_ops", None)
    return {**jwk, "kid": kid, "alg": algorithm, "use": "sig"}


@dataclass
class Issuer:
    """One issuer's settings and its process."""

    folder: Path
    algorithm: str = "RS256"
    keys: list[dict[str, Any]] = field(default_factory=list)
    clients: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    ttl_seconds: int = 600
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, with the keys and clients that there are now."""
        if not (NODE / "node_modules" / "oidc-provider").is_dir():
            pytest.fail("the issuer runs in Node.js: `make node` installs it")
        settings = {
            "issuer": self.url,
            "port": self.port,
            "keys": self.keys,
            "algorithm": self.algorithm,
            "ttl_seconds": self.ttl_seconds,
            "audiences": [AUDIENCE, OTHER_AUDIENCE],
            "clients": [
                {"client_id": name, "client_secret": SECRET, "claims": claims} for name, claims in self.clients.items()
            ],
        }
        path = self.folder / "issuer.json"
        path.write_text(json.dumps(settings))
        self.process = subprocess.Popen(
            [node(), str(NODE / "issuer.mjs"), str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        assert ready and self.process.stdout.readline().startswith("listening on"), "the issuer did not start"

    def stop(self) -> None:
        if self.process is not None:
            process, self.process = self.process, None
            process.terminate()
            process.wait(10)
            if process.stdout is not None:
                process.stdout.close()

    def token(self, client: str, audience: str = AUDIENCE) -> str:
        """A fresh access token, as that client gets it."""
        body = urllib.parse.urlencode({"grant_type": "client_credentials", "resource": audience, "scope": "upload"})
        basic = base64.b64encode(f"{client}:{urllib.parse.quote_plus(SECRET)}".encode()).decode()
        request = urllib.request.Request(f"{self.url}/token", body.encode(), {"Authorization": f"Basic {basic}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(json.load(answer)["access_token"])


@contextlib.contextmanager
def running_issuer(
    folder: Path, clients: Mapping[str, Mapping[str, Any]], algorithm: str = "RS256"
) -> Iterator[Issuer]:
    issuer = Issuer(folder, algorithm, [new_key("first", algorithm)], dict(clients))
    issuer.start()
    try:
        yield issuer
    finally:
        issuer.stop()
