"""The REST facade's calls for one upload: init, status, complete, cancel. Knows their shapes; holds no bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from gateway.client.access import Sender, UploadAccess
from gateway.client.errors import Misused, NotLetIn, Refused, TryAgain, plain
from gateway.client.grouping import PlannedUpload
from gateway.client.http import READ_TIMEOUT_S, Answer, GatewayHttp
from gateway.client.retry import RetryPolicy

T = TypeVar("T")

FINAL_STATES = frozenset({"success", "partial", "failed"})
_LONGEST_PREFERRED_WAIT_S = 30.0
_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class LeftOutFile:
    """A file that was declared and doesn't come."""

    file_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Warned:
    """One warning of the gateway. `file_id`: of the file that it is about, or empty."""

    words: str
    file_id: str = ""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far an upload is at one of several endpoints."""

    endpoint_id: str
    state: str
    receipt_id: str


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """Where an upload is. `retry_after_s`: when to ask again, if it isn't over. `held_for`: codes, why it is held.
    `several`: where a route has sent it to more than one endpoint.
    """

    state: str
    receipt_id: str = ""
    warnings: tuple[Warned, ...] = ()
    retry_after_s: float = 0.0
    held_for: tuple[str, ...] = ()
    several: tuple[Reached, ...] = ()

    @property
    def final(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def held(self) -> bool:
        """It waits for a person at the gateway."""
        return self.state == "held"


def init_body(plan: PlannedUpload, endpoint_id: str | None) -> dict[str, Any]:
    """The same plan gives the same body: an Idempotency-Key holds only for that."""
    body: dict[str, Any] = {
        "study_metadata": plan.metadata,
        "total_files": len(plan.files),
        "total_size_bytes": plan.size_bytes,
    }
    return body if endpoint_id is None else {**body, "endpoint_id": endpoint_id}


def init(
    http: GatewayHttp, retry: RetryPolicy, sender: Sender, body: Mapping[str, Any], idempotency_key: str
) -> dict[str, Any]:
    """Open an upload, or get the one that this key opened before; the answer as it came.

    :raises NotLetIn: the sender's credentials don't do.
    :raises Refused: the gateway won't have it.
    """

    def once(bearer: str) -> dict[str, Any]:
        headers = {"Idempotency-Key": idempotency_key}
        url = f"{http.base_url}/upload/init"
        return http.request("POST", url, bearer=bearer, headers=headers, payload=body).json()

    return retry.persist(lambda: with_renewal(sender, once))


def status(http: GatewayHttp, access: UploadAccess) -> UploadStatus:
    """How far it is.

    :raises TryAgain: ask later.
    :raises UploadGone: it is over, and not well.
    """
    url = f"{http.base_url}/upload/{access.upload_id}/status"
    return _standing(with_renewal(access, lambda bearer: http.request("GET", url, bearer=bearer)))


def joins_parts(http: GatewayHttp, tus_url: str) -> bool:
    """Whether a file may come as several parts (tus Concatenation): older gateways don't have that.

    :raises TryAgain: ask later.
    """
    try:
        answer = http.request("OPTIONS", tus_url)
    except (Refused, Misused):
        return False
    return "concatenation" in answer.headers.get("Tus-Extension", "").split(",")


def complete(
    http: GatewayHttp, access: UploadAccess, wait_s: float, skipped: Sequence[LeftOutFile] = ()
) -> UploadStatus:
    """Say that all is there but for `skipped`, and wait a while for what becomes of it.

    :raises Refused: the gateway misses something (`incomplete`).
    """
    wait_s = max(0.0, min(wait_s, _LONGEST_PREFERRED_WAIT_S))
    headers = {"Prefer": f"wait={wait_s:.0f}"}
    url = f"{http.base_url}/upload/{access.upload_id}/complete"
    timeout_s = READ_TIMEOUT_S + wait_s
    payload = {"skipped": [asdict(one) for one in skipped]} if skipped else None

    def once(bearer: str) -> Answer:
        return http.request("POST", url, bearer=bearer, headers=headers, payload=payload, read_timeout_s=timeout_s)

    return _standing(with_renewal(access, once))


def receipt(http: GatewayHttp, access: UploadAccess, endpoint_id: str = "") -> bytes:
    """The signed receipt, a compact JWS. :param endpoint_id: of one of several; empty: the upload's."""
    query = f"?endpoint_id={quote(endpoint_id, safe='')}" if endpoint_id else ""
    url = f"{http.base_url}/upload/{access.upload_id}/receipt{query}"
    return with_renewal(access, lambda bearer: http.request("GET", url, bearer=bearer)).content


def cancel(http: GatewayHttp, access: UploadAccess) -> None:
    """Give it up: its space is free again."""
    url = f"{http.base_url}/upload/{access.upload_id}"
    with_renewal(access, lambda bearer: http.request("DELETE", url, bearer=bearer))


def with_renewal(owner: Sender | UploadAccess, call: Callable[[str], T]) -> T:
    """Call with the owner's bearer; once more with a fresh one if that is refused.

    :raises NotLetIn: the fresh one is refused as well.
    """
    bearer = owner.bearer()
    try:
        return call(bearer)
    except NotLetIn:
        return call(owner.renewed(bearer))


def _standing(answer: Answer) -> UploadStatus:
    body = answer.json()
    retry_after = answer.headers.get("Retry-After", "")
    pause_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else _POLL_S
    state = body.get("state") or body.get("status")
    if not isinstance(state, str):
        raise TryAgain("the gateway's answer can't be read")
    warnings = tuple(_warned(one) for one in body.get("warnings") or ())
    receipt_id = plain(body.get("pacs_receipt_id") or "")
    held_for = tuple(plain(one) for one in body.get("held_reasons") or ())
    several = tuple(_reached(one) for one in body.get("deliveries") or () if isinstance(one, dict))
    return UploadStatus(plain(state), receipt_id, warnings, min(max(pause_s, 0.1), 60.0), held_for, several)


def _reached(delivery: dict[str, Any]) -> Reached:
    """`{endpoint_id, required, state, pacs_receipt_id}`."""
    endpoint_id, state = plain(delivery.get("endpoint_id") or ""), plain(delivery.get("state") or "")
    return Reached(endpoint_id, state, plain(delivery.get("pacs_receipt_id") or ""))


def _warned(warning: Any) -> Warned:
    """`{code, file_id?, sop_instance_uid?, message}`."""
    if not isinstance(warning, dict):
        return Warned(plain(warning))
    code, message = plain(warning.get("code", "")), plain(warning.get("message", ""))
    if message.replace(" ", "_") == code:  # the gateway has no other words for it
        message = ""
    about = plain(warning.get("sop_instance_uid") or "")
    words = f"{message} ({code})" if message and code else message or code
    if endpoint_id := plain(warning.get("endpoint_id") or ""):
        words = f"{endpoint_id}: {words}"
    return Warned(f"{words}: {about}" if about else words, str(warning.get("file_id") or ""))
