"""Uploads opened at the gateway: anew, or the ones that a former run began.

Promises: a set of files has one upload, however often it is asked for; what a run was told of it is in the state file first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

from gateway.client import uploads
from gateway.client.access import Sender, UploadAccess
from gateway.client.errors import Misused, NotLetIn, Refused, SendFault, TryAgain, UploadGone
from gateway.client.grouping import PlannedUpload
from gateway.client.http import GatewayHttp
from gateway.client.retry import RetryPolicy
from gateway.client.state import Entry, StateFile
from gateway.clock import Clock


@dataclass(frozen=True, slots=True)
class UploadInHand:
    """An upload that is open. `resumed`: a former run began it."""

    entry: Entry
    access: UploadAccess
    resumed: bool


class Opener:
    """Opens uploads to one endpoint.

    :param say: is told what a user should know.
    """

    def __init__(
        self,
        http: GatewayHttp,
        state: StateFile,
        sender: Sender,
        clock: Clock,
        endpoint_id: str | None,
        say: Callable[[str], None],
    ) -> None:
        self._http = http
        self._state = state
        self._sender = sender
        self._clock = clock
        self._endpoint_id = endpoint_id
        self._say = say
        self._ahead: dict[str, UploadInHand | SendFault] = {}

    def set_key(self, plan: PlannedUpload) -> str:
        """The name of its files in the state file."""
        return self._state.set_key(plan.files, self._http.base_url, self._endpoint_id or "", self._sender.scope)

    def open_ahead(self, plan: PlannedUpload, retry: RetryPolicy) -> None:
        """So that it needs no time when its turn comes; what went wrong is raised then."""
        if self._sender.single_upload:  # it could not be opened again if it were not wanted so
            return
        set_key = self.set_key(plan)
        try:
            self._ahead[set_key] = self.open(plan, retry)
        except SendFault as fault:
            self._ahead[set_key] = fault

    def cancel_others(self, plans: Collection[PlannedUpload]) -> None:
        """What was opened ahead and is none of these."""
        for set_key in self._ahead.keys() - {self.set_key(plan) for plan in plans}:
            opened = self._ahead.pop(set_key)
            if isinstance(opened, UploadInHand):
                with contextlib.suppress(SendFault, TryAgain):  # it expires by itself
                    uploads.cancel(self._http, opened.access)
                self._state.drop(set_key)

    def open(self, plan: PlannedUpload, retry: RetryPolicy) -> UploadInHand:
        """Tokens for the upload that a former run began, or for a new one.

        :raises SendFault: there is none to be had.
        """
        set_key = self.set_key(plan)
        ahead = self._ahead.pop(set_key, None)
        if isinstance(ahead, SendFault):
            raise ahead
        if ahead is not None:
            return ahead
        entry = self._state.claim(set_key)
        if entry.refresh_token:
            access = self._access(entry, entry.upload_id, retry)
            try:
                access.resume(entry.refresh_token)
            except NotLetIn:
                pass  # too old, or replaced by an answer that was lost: the Idempotency-Key gets fresh ones
            except UploadGone:
                self._say("the upload that was begun is gone from the gateway: a new one begins")
                entry = self._state.restart(set_key)
            else:
                return UploadInHand(entry, access, resumed=True)
        try:
            return self._init(plan, entry, retry)
        except Refused as refusal:
            if refusal.code != "idempotency_key_reused" and not isinstance(refusal, UploadGone):
                raise
            return self._init(plan, self._state.restart(set_key), retry)

    def _init(self, plan: PlannedUpload, entry: Entry, retry: RetryPolicy) -> UploadInHand:
        body = uploads.init_body(plan, self._endpoint_id)
        try:
            answer = uploads.init(self._http, retry, self._sender, body, entry.idempotency_key)
        except Refused as refusal:
            if refusal.code == "unknown_endpoint":
                raise Misused("the gateway has no such endpoint for you: check --endpoint") from None
            raise
        upload_id = str(answer["upload_id"])
        resumed = upload_id == entry.upload_id
        if not resumed:
            entry.done.clear()
        entry.upload_id = upload_id
        entry.tus_url = self._http.here(str(answer.get("tus_url") or ""), "/files/")
        access = self._access(entry, upload_id, retry)
        access.take(answer)
        self._state.save()
        return UploadInHand(entry, access, resumed)

    def _access(self, entry: Entry, upload_id: str, retry: RetryPolicy) -> UploadAccess:
        def remember(refresh_token: str) -> None:
            entry.refresh_token = refresh_token
            self._state.save()

        return UploadAccess(self._http, retry, self._clock, upload_id, self._sender, remember)
