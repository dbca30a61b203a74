"""HTTP to a PACS: sessions, time limits, capped bodies; every foreign error becomes a code.

Messages of requests and urllib3 hold URLs (with UIDs and PatientIDs in the query) and are never passed on. Knows
nothing of DICOM.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from hooks.contract import TargetDown, TargetMisconfigured

#: ("basic", user, password), ("bearer", token), ("mtls", path of the certificate chain, path of its key), or what sets
#: the header itself.
Auth = tuple[str, str, str] | tuple[str, str] | AuthBase

CONNECT_TIMEOUT_S = 5.0
#: How long the peer may take to accept one block of a body.
SEND_TIMEOUT_S = 60.0
#: urllib3's 16 KiB would cost a hundred thousand reads per gigabyte.
BLOCK_SIZE_BYTES = 2**20
#: The loggers of these print URLs and the peer's own words.
TALKATIVE = ("dicomweb_client", "urllib3", "requests", "pydicom")

#: OpenSSL's reasons that come of a handshake only, and again at every attempt.
_NO_AGREEMENT = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"}
    | {"SSLV3_ALERT_HANDSHAKE_FAILURE"}
)
#: What a peer that looks at client certificates says to ours, or to none.
_NOT_OUR_CERTIFICATE = frozenset(
    {"TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE"}
    | {"SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_REVOKED", "SSLV3_ALERT_CERTIFICATE_UNKNOWN"}
    | {"SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "TLSV1_ALERT_ACCESS_DENIED"}
)
#: nginx says the same by a page: "400 No required SSL certificate was sent", "400 The SSL certificate error".
_CERTIFICATE_PAGE = b"SSL certificate"
_CERTIFICATE_REFUSED = "client_certificate_refused"
_current = threading.local()


class SendWatch:
    """Cuts the connection when an answer isn't complete in time, however slowly it trickles.

    A read timeout alone starts anew with each byte. The time begins when the request has been sent.
    """

    def __init__(self, limit_s: float) -> None:
        self.expired = False
        self._limit_s = limit_s
        self._timer: threading.Timer | None = None

    def start(self, sock: socket.socket) -> None:
        """Begin to count; at the end both directions of `sock` are shut."""
        self._timer = threading.Timer(self._limit_s, self._cut, (sock,))
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        """The answer is complete, or given up."""
        if self._timer is not None:
            self._timer.cancel()

    def _cut(self, sock: socket.socket) -> None:
        self.expired = True
        try:
            # The plain method: SSLSocket's own would drop the TLS state below a reader.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            return  # closed already


class _TimedBody(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        # urllib3 leaves the connect timeout on the socket while the body is sent.
        self.sock.settimeout(SEND_TIMEOUT_S)

    def getresponse(self) -> Any:
        watch: SendWatch | None = getattr(_current, "watch", None)
        if watch is not None and self.sock is not None:
            watch.start(self.sock)
        return super().getresponse()


class _WatchedTLS(_TimedBody, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _TimedBody


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, blocksize=BLOCK_SIZE_BYTES, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}"

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = self._value
        return r


def open_session(auth: Auth | None, ca_bundle: str | None) -> requests.Session:
    """A session for one thread at a time. The process's proxy variables and netrc aren't looked at.

    :param ca_bundle: path of a PEM file to trust in place of the built-in list.
    :raises ValueError: `auth` isn't one we know.
    """
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    session = requests.Session()
    session.trust_env = False
    session.verify = ca_bundle or True
    session.auth, session.cert = _auth_of(auth)
    # No content coding: a small answer must not unfold into a large one.
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "relaypacs"})
    session.mount("http://", _Adapter(pool_connections=1, pool_maxsize=1))
    session.mount("https://", _Adapter(pool_connections=1, pool_maxsize=1))
    return session


def _auth_of(auth: Auth | None) -> tuple[AuthBase | None, tuple[str, str] | None]:
    """What sets the header, and the client's certificate with its key."""
    match auth:
        case None:
            return None, None
        case ("basic", user, password):
            return HTTPBasicAuth(user.encode(), password.encode()), None
        case ("bearer", token) if is_token(token):
            return _Bearer(token), None
        case ("mtls", cert, key):
            return None, (cert, key)
        case AuthBase():
            return auth, None
    raise ValueError("auth is none that is known")


def is_token(text: object) -> bool:
    """It can go into a header."""
    return isinstance(text, str) and text != "" and text.isascii() and text.isprintable()


@contextmanager
def exchange(
    session: requests.Session,
    method: str,
    url: str,
    *,
    headers: dict[str, str],
    answer_within_s: float,
    data: Any = None,
) -> Iterator[requests.Response]:
    """Send a request; the response's body is still to be read, inside the `with`. No redirect is followed.

    :param answer_within_s: from the last byte sent to the last byte of the answer, in seconds.
    :raises TargetDown: connect_failed, connection_lost, timed_out, tls_failed.
    :raises TargetMisconfigured: client_certificate_refused.
    """
    watch, outer = SendWatch(answer_within_s), getattr(_current, "watch", None)
    _current.watch = watch
    try:
        with _codes_for_errors(watch):
            # No `with` around the response: an error of the block must not wait for the rest of its body.
            response = session.request(
                method,
                url,
                data=data,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_TIMEOUT_S, answer_within_s),
            )
            try:
                _refuse_certificate_page(response)
                yield response
            finally:
                response.close()
    finally:
        watch.stop()
        _current.watch = outer  # a token may be asked for in the middle of another request


def _refuse_certificate_page(response: requests.Response) -> None:
    """:raises TargetMisconfigured: a proxy in front wants another client certificate; no answer of a PACS is HTML."""
    is_page = response.headers.get("Content-Type", "").lower().startswith("text/html")
    if response.status_code == 400 and is_page and _CERTIFICATE_PAGE in response.raw.read(4096, decode_content=False):
        raise TargetMisconfigured(_CERTIFICATE_REFUSED)


@contextmanager
def _codes_for_errors(watch: SendWatch) -> Iterator[None]:
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        if not watch.expired and _refuses_certificate(error):
            raise TargetMisconfigured(_CERTIFICATE_REFUSED) from None
        raise TargetDown("timed_out" if watch.expired else _code_of(error)) from None
    except TargetDown:
        # What was cut in its headers looks like an answer with few of them and no body.
        if watch.expired:
            raise TargetDown("timed_out") from None
        raise


def _refuses_certificate(error: Exception) -> bool:
    return any(isinstance(cause, ssl.SSLError) and cause.reason in _NOT_OUR_CERTIFICATE for cause in _causes(error))


def _code_of(error: Exception) -> str:
    """`tls_failed`: the two can't agree on TLS, or a certificate isn't believed. Its other faults are lines that broke."""
    chain = _causes(error)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in chain):
        return "tls_failed"
    if any(isinstance(cause, ssl.SSLError) and cause.reason in _NO_AGREEMENT for cause in chain):
        return "tls_failed"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "timed_out"
    if any(isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in chain):
        return "connect_failed"
    if any(isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError) for cause in chain):
        return "timed_out"
    return "connection_lost"


def _causes(error: BaseException) -> list[BaseException]:
    """The errors that urllib3 wrapped in one another: in `args`, `reason` or as context."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and not any(cause is seen for seen in found):
            found.append(cause)
            waiting += [*cause.args, getattr(cause, "reason", None), cause.__context__]
    return found


def read_capped(response: requests.Response, limit_bytes: int) -> bytes:
    """The body. :raises TargetDown: longer than `limit_bytes`, or in a coding that wasn't asked for."""
    return b"".join(pieces_of(response, limit_bytes))


def pieces_of(response: requests.Response, limit_bytes: int) -> Iterator[bytes]:
    """The body in pieces. :raises TargetDown: as `read_capped`."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise TargetDown("unasked_content_coding")
    count_bytes = 0
    while piece := response.raw.read(64 * 1024, decode_content=False):
        count_bytes += len(piece)
        if count_bytes > limit_bytes:
            raise TargetDown("answer_too_long")
        yield piece
