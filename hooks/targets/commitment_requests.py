"""Storage commitment over DICOMweb: `/commitment-requests/{transactionUID}` (PS3.18 chapter 13 and annex J).

A request is answered at once (200), or taken (202) and asked for until its answer is there. What an archive says of the
request decides on the request alone: a commitment that fails stops no delivery. Knows no HTTP library.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hooks.contract import AskAnew, CommitmentRefused, TargetDown
from hooks.targets.stow_response import BUSY_STATUSES, CONFIGURATION_STATUSES, parse, seconds_of
from hooks.targets.transactions import Transactions, report_in

#: The request may have come, and there was no answer to it, or none that can be read: the archive may be at work on it.
_UNANSWERED = frozenset({"timed_out", "connection_lost", "answer_too_long", "unasked_content_coding"})
#: It knows no such request, no longer, or has another one under this UID (PS3.18 sections 13.4.3 and 13.5.3).
_UNKNOWN_STATUSES = frozenset({404, 409, 410})
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over HTTP. `content_type`, `retry_after`: header values, may be empty."""

    status: int
    content_type: str
    body: bytes
    retry_after: str

    @property
    def wait_s(self) -> float:
        """What it asks for; 0: nothing."""
        return seconds_of(self.retry_after) or 0.0


#: Sends a request: method, transaction UID, body. Raises `TargetDown`; `TargetMisconfigured` for 401 and 407.
Send = Callable[[str, str, bytes | None], Reply]


class CommitmentRequests:
    """Of one archive. For several threads; its methods are those of `Committing`."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._transactions = Transactions()

    def ask(self, transaction_uid: str, instances: Mapping[str, str]) -> float:
        """POST. :raises CommitmentRefused: it has no such service, or takes no request as this one."""
        try:
            reply = self._send("POST", transaction_uid, request(instances))
        except TargetDown as error:
            if error.code not in _UNANSWERED:
                raise
            self._transactions.expect(transaction_uid)
            return 0.0
        if _is_refusal(reply.status):
            raise CommitmentRefused(f"http_{reply.status}")
        if 200 <= reply.status < 300:
            self._transactions.expect(transaction_uid)
            self._keep(transaction_uid, reply)
        else:
            self._transactions.lose(transaction_uid)
        return reply.wait_s

    def fetch(self, transaction_uid: str) -> float:
        """GET. :raises AskAnew: the archive has no such request."""
        if self._transactions.is_lost(transaction_uid):
            raise AskAnew("not_taken")
        try:
            reply = self._send("GET", transaction_uid, None)
        except TargetDown as error:
            if error.code not in _UNANSWERED:
                raise
            return 0.0
        if reply.status in _UNKNOWN_STATUSES:
            self._transactions.lose(transaction_uid)
            raise AskAnew(f"http_{reply.status}")
        self._keep(transaction_uid, reply)
        return reply.wait_s

    def _keep(self, transaction_uid: str, reply: Reply) -> None:
        """What can't be read, names nobody, or speaks of another transaction is no answer."""
        data_set = parse(reply.content_type, reply.body) if reply.status == 200 else None
        if data_set is None:
            return
        report = report_in(data_set)
        names_some = report.commitment.committed or report.commitment.failed
        if names_some and report.transaction_uid in {"", transaction_uid}:
            self._transactions.arrived(transaction_uid, report.commitment)

    def probe(self) -> None:
        """Ask for an instance that no archive has. :raises CommitmentRefused: that isn't taken."""
        reply = self._send("POST", _new_uid(), request({_new_uid(): _SECONDARY_CAPTURE}))
        if not 200 <= reply.status < 300:
            raise CommitmentRefused(f"http_{reply.status}")
        if reply.status == 200 and parse(reply.content_type, reply.body) is None:
            raise CommitmentRefused("not_dicom_json")

    @property
    def transactions(self) -> Transactions:
        """Those that are waited for."""
        return self._transactions


def request(instances: Mapping[str, str]) -> bytes:
    """A Storage Commitment Request Module (PS3.18 section J.1) as DICOM JSON; the transaction's UID is in the path.

    :param instances: SOPInstanceUID -> SOPClassUID.
    """
    items = [
        {"00081150": {"vr": "UI", "Value": [sop_class_uid]}, "00081155": {"vr": "UI", "Value": [uid]}}
        for uid, sop_class_uid in instances.items()
    ]
    return json.dumps({"00081199": {"vr": "SQ", "Value": items}}).encode()


def _is_refusal(status: int) -> bool:
    """No waiting will mend it. (503 "may be a temporary or permanent state"; 409 is of this UID alone.)"""
    if status in BUSY_STATUSES | {409}:
        return False
    return status in CONFIGURATION_STATUSES or 300 <= status < 500


def _new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"
