"""Credentials: those of the sender, and those of one upload. Knows the calls that renew them.

Passwords and access tokens are held in memory only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from gateway.client.errors import NotLetIn
from gateway.client.http import GatewayHttp
from gateway.client.retry import RetryPolicy
from gateway.clock import Clock

_EARLY_S = 60.0


class Sender(Protocol):
    """Who sends."""

    @property
    def scope(self) -> str:
        """What an interrupted set belongs to, beside its gateway: goes into a hash only."""

    @property
    def single_upload(self) -> bool:
        """Good for one upload alone."""

    def bearer(self) -> str:
        """For calls that open things.

        :raises NotLetIn: there is none any more.
        """

    def renewed(self, stale: str) -> str:
        """Another one than `stale`, which the gateway refused.

        :raises NotLetIn: there is no other.
        """

    def leave(self) -> None:
        """Nothing more is opened. May be said again."""


class TokenSender:
    """An access token that somebody else got."""

    scope = "account"
    single_upload = False

    def __init__(self, access_token: str) -> None:
        self._token = access_token

    def bearer(self) -> str:
        return self._token

    def renewed(self, stale: str) -> str:
        del stale
        raise NotLetIn("the access token isn't accepted or has expired: get a fresh one, and run it again")

    def leave(self) -> None:
        return


class QrSender:
    """The one-time token of a QR code."""

    single_upload = True

    def __init__(self, upload_token: str) -> None:
        self._token = upload_token
        self.scope = "qr:" + upload_token

    def bearer(self) -> str:
        return self._token

    def renewed(self, stale: str) -> str:
        del stale
        raise NotLetIn("the QR code has been used or has expired: ask for a fresh one")

    def leave(self) -> None:
        return


class AccountSender:
    """A user name and a password; logs in when first asked."""

    scope = "account"
    single_upload = False

    def __init__(self, http: GatewayHttp, retry: RetryPolicy, username: str, password: str) -> None:
        self._http = http
        self._retry = retry
        self._credentials = {"username": username, "password": password}
        self._lock = threading.Lock()
        self._access = ""
        self._refresh = ""

    def bearer(self) -> str:
        with self._lock:
            return self._access or self._log_in()

    def renewed(self, stale: str) -> str:
        with self._lock:
            if self._access and self._access != stale:
                return self._access
            try:
                return self._take("/auth/refresh", bearer=self._refresh)
            except NotLetIn:
                return self._log_in()

    def leave(self) -> None:
        with self._lock:
            access, self._access, self._refresh = self._access, "", ""
            if access:
                self._http.request("POST", f"{self._http.base_url}/auth/logout", bearer=access, read_timeout_s=10.0)

    def _log_in(self) -> str:
        try:
            return self._take("/auth/login", payload=self._credentials)
        except NotLetIn:
            raise NotLetIn("the gateway doesn't know this user name with this password") from None

    def _take(self, path: str, **request: Any) -> str:
        answer = self._retry.persist(lambda: self._http.request("POST", self._http.base_url + path, **request)).json()
        self._access, self._refresh = str(answer["access_token"]), str(answer.get("refresh_token", ""))
        return self._access


class UploadAccess:
    """The tokens of one upload, renewed once for all threads: before they run out, or when they are refused.

    :param on_refresh_token: is told each new refresh token before that is used.
    """

    def __init__(
        self,
        http: GatewayHttp,
        retry: RetryPolicy,
        clock: Clock,
        upload_id: str,
        sender: Sender,
        on_refresh_token: Callable[[str], None],
    ) -> None:
        self.upload_id = upload_id
        self._http = http
        self._retry = retry
        self._clock = clock
        self._sender = sender
        self._on_refresh_token = on_refresh_token
        self._lock = threading.Lock()
        self._token = ""
        self._refresh = ""
        self._renew_at = 0.0

    def take(self, answer: dict[str, Any]) -> None:
        """Tokens as `init` and `token` give them."""
        refresh, lifetime_s = str(answer.get("refresh_token", "")), _lifetime_s(answer)
        if refresh and refresh != self._refresh:
            self._on_refresh_token(refresh)
        self._refresh = refresh or self._refresh
        self._token = str(answer["upload_token"])
        self._renew_at = self._clock.monotonic() + lifetime_s - min(_EARLY_S, lifetime_s / 4)

    def resume(self, refresh_token: str) -> None:
        """Go on with what a former run kept.

        :raises NotLetIn: the gateway doesn't accept it.
        :raises UploadGone: the upload is over.
        """
        with self._lock:
            self._refresh = refresh_token
            self._renew(refresh_token)

    def bearer(self) -> str:
        """The upload token; a fresh one if this one is about to run out."""
        with self._lock:
            if self._refresh and self._clock.monotonic() >= self._renew_at:
                try:
                    self._renew(self._refresh)
                except NotLetIn:  # it may still be good for a minute, and the owner may help when it is refused
                    self._renew_at = float("inf")
            return self._token

    def renewed(self, stale: str) -> str:
        """Another upload token than `stale`, which the gateway refused.

        :raises NotLetIn: neither the refresh token nor the sender gets one.
        """
        with self._lock:
            if self._token == stale:
                try:
                    self._renew(self._refresh)
                except NotLetIn:
                    self._renew_as_owner()
            return self._token

    def _renew_as_owner(self) -> None:
        if self._sender.single_upload:
            raise NotLetIn("this upload's session has ended, and a QR code can't renew it: ask for help at the gateway")
        owner = self._sender.bearer()
        try:
            self._renew(owner)
        except NotLetIn:
            self._renew(self._sender.renewed(owner))

    def _renew(self, bearer: str) -> None:
        url = f"{self._http.base_url}/upload/{self.upload_id}/token"
        self.take(self._retry.persist(lambda: self._http.request("POST", url, bearer=bearer)).json())


def _lifetime_s(answer: dict[str, Any]) -> float:
    value = answer.get("expires_in")
    return float(value) if isinstance(value, int | float) and value > 0 else 900.0
