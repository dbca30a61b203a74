"""Requests that nobody should send: every route, with whatever a stranger may put into a method, a path, a query, a header
or a body. A seed makes the same ones again.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from gateway.web.routes import ROUTES

#: Where and how.
DOORS: Sequence[tuple[str, str]] = [(route.method, route.path) for route in ROUTES]
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "patch", "QUERY", "X")
_ODD_WORDS = (
    "", "0", "-1", "1", "007", "1e3", "99999999999999999999", "null", "NaN", "true", "a" * 300, "a" * 5000, "..", "%00",
    "%ff", "%ED%A0%80", "%0d%0aX:%20y", "%2e%2e%2f", "%C3%A9", "e\u0301", "'", '"', "\\", "\u202e", "x;y", "{}", "[]",
    "e" + "\u0301" * 400, "\ud800", "a,b", "<script>", "${x}", "*", "?", "sha-256=:AAAA:", "cancel", "success",
)  # fmt: skip
_QUERIES = (
    "cursor", "limit", "file_id", "chunk_index", "total_chunks", "state", "after", "uploads", "reveal", "endpoint_id",
    "upload_id", "x",
)  # fmt: skip
_HEADERS: Mapping[str, Sequence[str]] = {
    "Tus-Resumable": ("1.0.0", "1.0.0", "1.0.0", "0.2.2", ""),
    "Upload-Length": ("5", "0", "-1", "1e3", "9" * 30, ""),
    "Upload-Offset": ("0", "5", "-5", "x", "9" * 30),
    "Upload-Defer-Length": ("1", "2"),
    "Upload-Metadata": ("file_id YQ==", "file_id", "a b", "a YQ==,a YQ==", ",", "a " + "QUJD" * 1000, "\xe9 YQ=="),
    "Upload-Concat": ("partial", "final;/files/a /files/b", "final;", "x"),
    "Upload-Checksum": ("sha1 AAAA", "md5", "sha256 " + "A" * 43 + "=", "x y"),
    "Content-Digest": ("sha-256=:AAAA:", "sha-256=::", "md5=:AAAA:", "x"),
    "Content-Type": (
        "application/json", "application/offset+octet-stream", "application/octet-stream", "multipart/form-data",
        "multipart/form-data; boundary=x", "multipart/form-data; boundary=" + "x" * 300, "text/\xe9", "",
    ),
    "Content-Encoding": ("gzip", "identity", "br", "x"),
    "X-HTTP-Method-Override": ("PATCH", "HEAD", "DELETE", "OPTIONS", "POST", "x"),
    "Idempotency-Key": ("k", "", "caf\xe9", "k" * 300),
    "Prefer": ("wait=0", "wait=0", "wait=-1", 'x="' + '\\"' * 2000, '"' * 3000, "wait=999999999"),
    "Expect": ("100-continue", "x"),
    "Host": ("evil.example", "a b", "[::1]:99", "", "x" * 300, "localhost"),
    "X-Forwarded-For": ("1.2.3.4", "x", "1.2.3.4:99", "\xe9"),
    "X-Forwarded-Proto": ("https", "x"),
    "X-Request-ID": ("0123456789abcdef", "x" * 100, "\xe9"),
    "Accept": ("image/png", "image/svg+xml", "*/*;q=x", "application/json;q=0"),
    "Origin": ("https://evil.example", "null"),
    "Range": ("bytes=0-", "x"),
    "Upload-Complete": ("?1", "?0", "x"),
    "Upload-Draft-Interop-Version": ("6", "8", "x"),
    "Transfer-Encoding": ("gzip", "chunked, chunked", "x"),
    "Cookie": ("a=b",),
}  # fmt: skip
_FIELDS = (
    "username", "password", "new_password", "study_metadata", "total_files", "total_size_bytes", "endpoint_id",
    "clinical_notes", "uploader", "checksums", "skipped", "reason", "wipe", "ttl_seconds", "label", "max_files",
    "max_bytes", "expected", "file_id", "patient_name", "patient_id", "name", "x",
)  # fmt: skip


#: What would be taken, but for one field.
_NEARLY: Mapping[str, Mapping[str, Any]] = {
    "/auth/login": {"username": "sender", "password": "wrong password"},
    "/auth/password": {"password": "x", "new_password": "y"},
    "/upload/init": {"study_metadata": {"patient_name": "A^B"}, "total_files": 1, "total_size_bytes": 5},
    "/complete": {"checksums": {}, "skipped": [{"file_id": "a", "reason": "r"}]},
    "/qr": {"endpoint_id": "main", "label": "l", "expected": {"patient_id": "1"}},
    "/reveal": {"reason": "because"},
    "/release": {"reason": "because"},
    "/retry": {"reason": "because"},
    "/drop": {"reason": "because", "wipe": False},
}


class Hostile:
    """A generator of requests, as bytes.

    :param tokens: good ones of every kind; whatever they may do is done.
    :param ids: of uploads, files and codes that are there.
    """

    def __init__(self, seed: int, tokens: Sequence[str], ids: Sequence[str]) -> None:
        self.random = Random(seed)
        self.tokens = tokens
        self.ids = ids

    def request(self) -> bytes:
        """The next one."""
        chance = self.random
        method, path = chance.choice(DOORS)
        if chance.random() < 0.15:
            method = chance.choice(_METHODS)
        path = re.sub(r"\{[^}]*\}", lambda _: self._segment(), path) + self._query()
        headers: list[tuple[str, str]] = [("Host", "gateway")] if chance.random() < 0.95 else []
        some = chance.sample(list(_HEADERS), chance.choice((0, 0, 0, 1, 1, 2, 5)))
        headers += [(name, chance.choice(_HEADERS[name])) for name in some]
        if path.startswith("/files") and chance.random() < 0.8:
            headers += [("Tus-Resumable", "1.0.0"), ("Upload-Length", "5"), ("Upload-Offset", "0")]
            headers.append(("Content-Type", "application/offset+octet-stream"))
        headers += self._bearer()
        body = self._body(path)
        if any(name == "Transfer-Encoding" for name, _ in headers):
            framing, body = [], b""
        elif body and chance.random() < 0.15:
            framing, body = [("Transfer-Encoding", "chunked")], self._chunked(body)
        else:
            framing = [("Content-Length", str(len(body)))] if body or chance.random() < 0.5 else []
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers + framing)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogatepass") + body

    def _segment(self) -> str:
        if self.ids and self.random.random() < 0.85:
            return self.random.choice(self.ids)
        return self._word().replace(" ", "%20").replace("?", "%3f") or "x"

    def _word(self) -> str:
        return self.random.choice(_ODD_WORDS)

    def _query(self) -> str:
        names = self.random.sample(_QUERIES, self.random.choice((0, 0, 0, 1, 2)))
        pairs = "&".join(f"{name}={self._word().replace(' ', '+')}" for name in names)
        return f"?{pairs}" if pairs else ""

    def _bearer(self) -> list[tuple[str, str]]:
        match self.random.randrange(20):
            case 0:
                return []
            case 1:
                return [
                    ("Authorization", self.random.choice(("Basic YTpi", "Bearer", "Bearer \xe9", "Bearer a b", "")))
                ]
            case 2:
                claims = base64.urlsafe_b64encode(json.dumps({"sub": self._word()}).encode()).decode().rstrip("=")
                head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"relaypacs-access"}').decode().rstrip("=")
                return [("Authorization", f"Bearer {head}.{claims}.")]
            case 3:
                return [("Authorization", f"Bearer {token}") for token in self.random.sample(self.tokens, 2)]
            case _:
                return [("Authorization", f"Bearer {self.random.choice(self.tokens)}")]

    def _body(self, path: str) -> bytes:
        match self.random.randrange(6):
            case 0:
                return b""
            case 1:
                return self.random.randbytes(self.random.choice((1, 5, 1000, 70_000)))
            case 2 if "/chunk" in path:
                return self._multipart()
            case 3:
                return self.random.choice(
                    (b"[" * 20_000, b"{", b"\xff\xfe", b'{"a":1e999}', b'"\\ud800"', b"null", b"1" * 9000)
                )
            case 4 | 5 if near := next((body for end, body in _NEARLY.items() if path.endswith(end)), None):
                return json.dumps({**near, self.random.choice([*near, "x"]): self._value()}).encode(
                    "utf-8", "surrogatepass"
                )
            case _:
                fields = self.random.sample(_FIELDS, self.random.choice((0, 1, 3, 6)))
                return json.dumps({name: self._value() for name in fields}).encode("utf-8", "surrogatepass")

    def _value(self, depth: int = 0) -> Any:
        match self.random.randrange(8 if depth < 3 else 5):
            case 0:
                return self.random.choice((0, 1, -1, 5, 2**63, 2**70, 1.5, True, None))
            case 5:
                return [self._value(depth + 1) for _ in range(self.random.choice((0, 1, 3)))]
            case 6 | 7:
                return {
                    self.random.choice(_FIELDS): self._value(depth + 1) for _ in range(self.random.choice((0, 1, 3)))
                }
            case _:
                return self._word()

    def _multipart(self) -> bytes:
        parts = self.random.choices(("chunk_index", "file_id", "binary_payload", "total_chunks", "x", ""), k=4)
        body = b"".join(
            b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            % (name.encode(), self._word().encode("utf-8", "surrogatepass"))
            for name in parts
        )
        return body + self.random.choice((b"--x--\r\n", b"", b"--x", b"--y--\r\n"))

    def _chunked(self, body: bytes) -> bytes:
        whole = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        return (
            whole
            if self.random.random() < 0.7
            else self.random.choice((b"x\r\n", b"-5\r\n", b"ffffffffffffffffff\r\n"))
        )
