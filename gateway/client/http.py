"""HTTP to one gateway: sessions, errors as this package's own, Retry-After. Knows no call of the API.

One session for all threads: who asks takes a connection that is free, and gives it back. Redirects aren't followed: a
redirected POST turns into a GET, and bytes must go where the user said. The bearer is given as `auth`, which a .netrc
can't replace.
"""

from __future__ import annotations

import email.utils
import json
import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

from gateway.client.errors import Misused, NotAllowed, NotLetIn, Refused, TryAgain, UploadGone, plain
from gateway.client.watch import LineWatch
from gateway.client.wires import WiredAdapter, Wires, are_queued, is_empty
from gateway.clock import Clock

#: For connecting: a SYN that got lost is repeated later and later, so a new one is made; now and then with more patience.
CONNECT_TIMEOUTS_S = (4.0, 4.0, 4.0, 15.0)
READ_TIMEOUT_S = 120.0
#: Nothing is sent for so long into a line that is known to be away.
_THERE_WITHIN_S = 5.0
_BLOCK_BYTES = 64 * 1024
_MOST_KEPT = 64  # connections
_STRANGER = "what answers there is no RelayPACS gateway: check --to"
#: By which what stands before a gateway says that it knows no PATCH. The gateway's own have a code.
NO_PATCH_STATUSES = frozenset({403, 405, 501})
_BUSY_STATUSES = frozenset({429, 503})
_PASSING_STATUSES = frozenset({408, 423, 425, 429, 500, 502, 503, 504, 507})


class SizedBody(Protocol):
    """A request body of known length that is read as it is sent."""

    def __len__(self) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful response, read."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> dict[str, Any]:
        """:raises Misused: the body isn't a JSON object."""
        try:
            value = json.loads(self.content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Misused(_STRANGER)
        return value


#: Of each request; what HTTP takes for granted isn't said: there are many, and some lines are slow.
_HEADERS = {"User-Agent": "relaypacs-send", "Accept-Encoding": "identity"}


class _TokenAuth(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class GatewayHttp:
    """To the gateway at `base_url`.

    :raises Misused: that isn't an HTTP address.
    """

    def __init__(self, base_url: str, clock: Clock) -> None:
        self.base_url = base_url.rstrip("/")
        self._clock = clock
        self._local = threading.local()
        self._wires = Wires()
        self._watch = LineWatch(self._wires, clock)
        self._session = requests.Session()
        self._session.headers = CaseInsensitiveDict(_HEADERS)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, WiredAdapter(self._wires, _BLOCK_BYTES, _MOST_KEPT))
        self.refused = 0  #: how often the gateway had too much to do
        try:
            parts = urlsplit(self.base_url)
            port_ok = parts.port is None or parts.port > 0
        except ValueError:
            parts, port_ok = urlsplit(""), False
        if parts.scheme not in {"http", "https"} or not parts.hostname or not port_ok:
            raise Misused("--to must be the gateway's address, like https://relay.example.org")
        if parts.query or parts.fragment or parts.username is not None:
            raise Misused("--to must be the gateway's address alone: no user, no ?, no #")
        if parts.scheme == "https":
            _require_bundle()
        self._origin = (parts.scheme, parts.netloc)

    def close(self) -> None:
        """Close all connections."""
        self._watch.close()
        self._session.close()

    def acknowledged_bytes(self) -> int | None:
        """What has arrived of all requests so far, with all that belongs to them; None: this system doesn't tell."""
        return self._wires.acknowledged_bytes()

    def round_trip_s(self) -> float:
        """Of the quickest packet; 0: this system doesn't tell, or there was none yet."""
        return self._wires.least_round_trip_s()

    def await_first_connection(self, within_s: float) -> None:
        """Until the first one stands, and the round trip is known where this system tells."""
        self._wires.one_stood.wait(within_s)

    def is_full(self) -> bool:
        """Whether the line is, as far as this system tells: packets wait for each other there."""
        return are_queued(self._wires.states().values())

    def is_empty(self) -> bool:
        """Whether the line has room for more; as far as this system tells."""
        return is_empty(self._wires.states().values())

    def here(self, url: str, path: str) -> str:
        """A URL that the gateway named, at the address the user gave: a gateway may know itself by another name.

        :param path: where that is below our address if the origin is another.
        """
        whole = urljoin(self.base_url + "/", url)
        parts = urlsplit(whole)
        return whole if (parts.scheme, parts.netloc) == self._origin else self.base_url + path

    def request(
        self,
        method: str,
        url: str,
        *,
        bearer: str = "",
        headers: Mapping[str, str] | None = None,
        payload: Any = None,
        body: SizedBody | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> Answer:
        """One request.

        :param payload: sent as JSON.
        :param body: sent as it is read.
        :raises TryAgain: the network failed, or the gateway can't just now.
        :raises NotLetIn: 401.
        :raises NotAllowed: 403.
        :raises UploadGone: 404 or 410.
        :raises Misused: what answers is no gateway.
        :raises Refused: any other answer that isn't 2xx.
        """
        if not self._watch.wait(_THERE_WITHIN_S):
            raise TryAgain("the gateway can't be reached", silent=True)
        try:
            response = self._session.request(
                method,
                url,
                auth=_TokenAuth(bearer),
                headers=dict(headers or {}),
                json=payload,
                data=body,
                timeout=(self._connect_timeout_s(), read_timeout_s),
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            if not is_unverified(error):
                raise TryAgain("the encrypted line to the gateway broke") from None
            raise Refused(
                "the gateway's TLS certificate can't be verified: check --to, or REQUESTS_CA_BUNDLE"
            ) from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
            raise Misused("--to must be the gateway's address, like https://relay.example.org") from None
        except (requests.exceptions.RequestException, OSError) as error:
            self._local.failed = getattr(self._local, "failed", 0) + 1
            if isinstance(error, requests.exceptions.ConnectTimeout):
                self._watch.doubt()
            raise TryAgain("the gateway can't be reached", silent=not is_refused(error)) from None
        self._local.failed = 0
        if 200 <= response.status_code < 300:
            return Answer(response.status_code, response.headers, response.content)
        raise self._fault(method, response)

    def _connect_timeout_s(self) -> float:
        return CONNECT_TIMEOUTS_S[getattr(self._local, "failed", 0) % len(CONNECT_TIMEOUTS_S)]

    def _fault(self, method: str, response: requests.Response) -> Exception:
        status = response.status_code
        problem = _problem(response)
        code = plain(problem.get("code", ""))
        said = plain(problem.get("detail") or problem.get("title") or f"the gateway answered {status}")
        if 300 <= status < 400:
            return Misused("the gateway's address redirects elsewhere: give the final address to --to")
        if status in _BUSY_STATUSES:
            self.refused += 1
        if status in _PASSING_STATUSES or code == "taken_over" or (status == 409 and "Retry-After" in response.headers):
            return TryAgain(said, self._retry_after_s(response.headers.get("Retry-After")))
        if method == "PATCH" and not code and status in NO_PATCH_STATUSES:
            return Refused(said, status=status)
        if status == 401:
            return NotLetIn(f"{said}: check the credentials")
        if status == 403:
            return NotAllowed(f"{said}: ask the gateway's people", status=status, code=code)
        if status == 410 or (status == 404 and code):
            return UploadGone(said, status=status, code=code)
        if status in {404, 405} and not code:
            return Misused(_STRANGER)
        return Refused(said, status=status, code=code)

    def _retry_after_s(self, value: str | None) -> float | None:
        """RFC 9110 10.2.3: seconds, or a date."""
        if value is None:
            return None
        if value.isascii() and value.isdigit() and len(value) < 7:
            return float(value)
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - self._clock.now())
        except ValueError:
            return None


def is_unverified(error: BaseException) -> bool:
    """Whether a certificate was looked at and isn't believed. Every other fault of TLS is a line that broke."""
    return any(isinstance(one, ssl.SSLCertVerificationError) for one in _causes(error))


def is_refused(error: BaseException) -> bool:
    """Whether the line is there, and nobody listens at its end."""
    return any(isinstance(one, ConnectionRefusedError) for one in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """It, and what it was made from, however the libraries between have wrapped it."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]


def _require_bundle() -> None:
    """:raises Misused: the certificates that the environment names can't be used; `requests` would call it no line."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if not named or Path(named).is_dir():
        return
    try:
        ssl.create_default_context(cafile=named)
    except OSError:  # ssl.SSLError is one
        raise Misused("$REQUESTS_CA_BUNDLE must name a file of certificates (PEM): check it") from None


def _problem(response: requests.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
