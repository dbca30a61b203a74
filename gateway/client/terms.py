"""What the gateway takes at the endpoint that is sent to, asked before anything is sent; and what doesn't fit."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.client.access import QrSender, Sender
from gateway.client.errors import Misused, NotLetIn, Refused, SendFault, plain
from gateway.client.grouping import PlannedUpload
from gateway.client.http import GatewayHttp
from gateway.client.meter import size_words
from gateway.client.retry import RetryPolicy
from gateway.client.scan import LocalFile
from gateway.client.uploads import with_renewal

_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class EndpointTerms:
    """Of one endpoint. Sizes in bytes; `contact`: whom to ask."""

    contact: str = ""
    max_file_bytes: int = _NO_LIMIT
    max_upload_bytes: int = _NO_LIMIT
    max_files: int = _NO_LIMIT

    def takes(self, file: LocalFile) -> bool:
        """Whether the file isn't too large."""
        return file.size_bytes <= min(self.max_file_bytes, self.max_upload_bytes)

    def excess(self, plan: PlannedUpload) -> str:
        """What of the plan is too much for one upload, in words; empty: it fits."""
        count = len(plan.files)
        if count > self.max_files:
            return f"{count} files of one patient are more than the {self.max_files} of one upload"
        if plan.size_bytes > self.max_upload_bytes:
            limit, size = size_words(self.max_upload_bytes), size_words(plan.size_bytes)
            return f"{size} of one patient are more than the {limit} of one upload"
        return ""


def ask(http: GatewayHttp, retry: RetryPolicy, sender: Sender, endpoint_id: str | None) -> EndpointTerms:
    """The terms of the endpoint; those that nobody tells are none.

    :raises NotLetIn: the sender's credentials don't do.
    """
    try:
        if isinstance(sender, QrSender):
            return _terms(_inspect(http, retry, sender))
        answer = retry.persist(lambda: with_renewal(sender, lambda bearer: _endpoints(http, bearer)))
    except (Refused, Misused):  # a gateway that doesn't tell: it refuses what it won't have
        return EndpointTerms()
    return _terms(_chosen(answer.get("endpoints"), endpoint_id))


def ask_beside(
    http: GatewayHttp, retry: RetryPolicy, sender: Sender, endpoint_id: str | None
) -> Callable[[], EndpointTerms]:
    """Likewise, without waiting for the answer. :returns: what waits for it, and raises what `ask` does."""
    answers: queue.SimpleQueue[EndpointTerms | SendFault] = queue.SimpleQueue()

    def go() -> None:
        try:
            answers.put(ask(http, retry, sender, endpoint_id))
        except SendFault as fault:
            answers.put(fault)

    def told() -> EndpointTerms:
        answer = answers.get()
        if isinstance(answer, SendFault):
            raise answer
        return answer

    threading.Thread(target=go, name="terms", daemon=True).start()
    return told


def sort_out(plans: Sequence[PlannedUpload], terms: EndpointTerms) -> tuple[list[PlannedUpload], list[str]]:
    """The plans that fit into one upload each, and of every other what is wrong, with the path of its first file."""
    fitting, refused = [], []
    for plan in plans:
        words = terms.excess(plan)
        if words:
            first = plain(plan.files[0].path)
            refused.append(f"{words}, the first of them {first}: send them study by study")
        else:
            fitting.append(plan)
    return fitting, refused


def _inspect(http: GatewayHttp, retry: RetryPolicy, sender: QrSender) -> dict[str, Any]:
    url = f"{http.base_url}/qr/inspect"
    try:
        return retry.persist(lambda: http.request("POST", url, bearer=sender.bearer())).json()
    except NotLetIn:  # used up, perhaps by the run that this one goes on from: whoever opens the upload finds out
        return {}


def _endpoints(http: GatewayHttp, bearer: str) -> dict[str, Any]:
    return http.request("GET", f"{http.base_url}/endpoints", bearer=bearer).json()


def _chosen(endpoints: object, endpoint_id: str | None) -> dict[str, Any]:
    listed = [one for one in endpoints if isinstance(one, dict)] if isinstance(endpoints, list) else []
    for one in listed:
        if one.get("endpoint_id") == endpoint_id or (endpoint_id is None and (one.get("default") or len(listed) == 1)):
            return one
    return {}


def _terms(told: dict[str, Any]) -> EndpointTerms:
    limits = told.get("limits")
    limits = limits if isinstance(limits, dict) else {}

    def limit(name: str) -> int:
        value = limits.get(name)
        return value if isinstance(value, int) and value > 0 else _NO_LIMIT

    contact = plain(told.get("contact") or "")
    return EndpointTerms(contact, limit("max_file_size"), limit("max_upload_size"), limit("max_files"))
