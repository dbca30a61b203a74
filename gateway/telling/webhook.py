"""Webhooks, signed as Standard Webhooks 1.0 wants it (https://www.standardwebhooks.com): a POST of JSON with `webhook-id`,
`webhook-timestamp` and `webhook-signature`.

The receiver's answer is a status; nothing it says is read or kept, no redirect is followed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from gateway.ledger.rows import UploadRow
from gateway.telling.messages import NotSent, OutgoingMessage

#: Before the base64 of a secret, as the specification writes it.
PREFIX = "whsec_"
#: Of keys that are written in base64, bytes.
_KEY_BYTES = range(24, 65)


def key_of(secret: str) -> bytes:
    """The key for the signature: base64 of 24 to 64 bytes, with or without `whsec_`; any other text is the key itself."""
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    return key if len(key) in _KEY_BYTES else secret.encode()


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of the HMAC-SHA256 over id, time and body."""
    signed = b".".join([message_id.encode(), str(timestamp).encode(), body])
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver. :param timeout_s: how long connecting, and each step of the answer, may take."""

    url: str
    key: bytes = field(repr=False)
    events: Sequence[str]
    with_patient_data: bool = False
    ca_bundle: str | None = None
    timeout_s: float = 10.0

    @property
    def kind(self) -> str:
        """Of channel."""
        return "webhook"

    @property
    def name(self) -> str:
        """Of this one."""
        return f"webhook {self.url}"

    def addresses(self, event: str, upload: UploadRow, declared: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002 # a channel's
        """It has one, for the events that it wants."""
        return ("",) if event in self.events else ()

    def send(self, message: OutgoingMessage, now: float) -> None:
        """POST it. :raises NotSent: anything but a 2xx."""
        body, timestamp = json.dumps(message.body, separators=(",", ":")).encode(), int(now)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "RelayPACS",
            "webhook-id": message.message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self.key, message.message_id, timestamp, body),
        }
        connection = self._connection()
        try:
            connection.request("POST", urlsplit(self.url).path or "/", body, headers)
            with connection.getresponse() as answer:
                status, wait = answer.status, answer.headers.get("Retry-After", "")
        except (OSError, http.client.HTTPException) as error:
            raise NotSent(code_of(error)) from None
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise NotSent("refused", retry_after_s=float(wait) if wait.isdecimal() and len(wait) < 8 else None)

    def probe(self) -> str:
        """Connect, and nothing else: there is no question to ask."""
        connection = self._connection()
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            raise NotSent(code_of(error)) from None
        finally:
            connection.close()
        return "can be reached; nothing was sent"

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme != "https":
            return http.client.HTTPConnection(host, parts.port, timeout=self.timeout_s)
        context = ssl.create_default_context(cafile=self.ca_bundle)
        return http.client.HTTPSConnection(host, parts.port, timeout=self.timeout_s, context=context)


def code_of(error: BaseException) -> str:
    """Why a line could not be had."""
    if isinstance(error, ssl.SSLError):
        return "tls_failed"
    return "timed_out" if isinstance(error, TimeoutError) else "connect_failed"
