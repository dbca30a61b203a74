"""Access tokens by OAuth 2.0 client credentials (RFC 6749 section 4.4), for all requests to one endpoint.

Promises: a token is asked for when it is first needed, shortly before the last one ends, and when the PACS didn't take it;
of several threads one asks. What an issuer says is read as codes only. Knows no DICOM.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import requests
from requests.auth import AuthBase

from hooks.contract import TargetDown, TargetError, TargetMisconfigured
from hooks.targets.transport import exchange, is_token, open_session, read_capped

#: An issuer that doesn't say how long a token lives (RFC 6749 section 5.1: it should).
UNTOLD_LIFE_S = 300.0
#: A token is renewed so long before its end, or at the last tenth of a short life.
MARGIN_S = 60.0
MAX_ANSWER_BYTES = 1 << 20


class ClientCredentials(AuthBase):
    """Sets `Authorization` of requests.

    :param ca_bundle: path of a PEM file to check the issuer's certificate with; None: the built-in list.
    :param answer_timeout_s: how long the issuer may take.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        scope: str = "",
        *,
        ca_bundle: str | None = None,
        answer_timeout_s: float = 30.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token_url = token_url
        self._client = {"client_id": client_id, "client_secret": client_secret}
        self._grant = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        self._ca_bundle = ca_bundle
        self._answer_timeout_s = answer_timeout_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0
        self._in_body = False  #: this issuer wants id and secret there

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = f"Bearer {self.current()}"
        return r

    def current(self) -> str:
        """A token that is good still, as far as anybody knows.

        :raises TargetDown: the issuer doesn't answer, or not sensibly.
        :raises TargetMisconfigured: it refuses us.
        """
        with self._lock:
            if not self._token or self._monotonic() >= self._renew_at:
                self._fetch()
            return self._token

    def refused(self, token: str) -> None:
        """The PACS didn't take `token`: ask for another, unless somebody has done so. :raises: as `current`."""
        with self._lock:
            if self._token == token:
                self._fetch()

    def _fetch(self) -> None:
        self._token = ""
        status, told = self._ask()
        if status in {400, 401} and told.get("error") == "invalid_client" and not self._in_body:
            # RFC 6749 section 2.3.1: every issuer should take them in the header; some don't.
            self._in_body = True
            status, told = self._ask()
            self._in_body = status == 200
        if status in {408, 429} or status >= 500:
            raise TargetDown(f"token_http_{status}")
        if status != 200:
            raise TargetMisconfigured("token_refused")
        token, kind = told.get("access_token"), told.get("token_type")
        if not isinstance(token, str) or not is_token(token) or not isinstance(kind, str) or kind.lower() != "bearer":
            raise TargetDown("token_unreadable")
        life_s = told.get("expires_in", UNTOLD_LIFE_S)
        life_s = float(life_s) if isinstance(life_s, int | float) and life_s > 0 else UNTOLD_LIFE_S
        self._token = token
        self._renew_at = self._monotonic() + life_s - min(MARGIN_S, life_s / 10)

    def _ask(self) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the issuer's answer. :raises TargetDown: it can't be reached."""
        header = None if self._in_body else ("basic", *(quote(value, safe="") for value in self._client.values()))
        form = self._grant | (self._client if self._in_body else {})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        session = open_session(header, self._ca_bundle)  # type: ignore[arg-type] # three texts
        try:
            with exchange(
                session, "POST", self._token_url, headers=headers, answer_within_s=self._answer_timeout_s,
                data=urlencode(form),
            ) as response:  # fmt: skip
                status, body = response.status_code, read_capped(response, MAX_ANSWER_BYTES)
        except TargetError as error:
            raise type(error)(f"token_{error.code}") from None
        finally:
            session.close()
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        return status, told if isinstance(told, dict) else {}
