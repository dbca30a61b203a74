"""Storage commitment, Push Model (PS3.4 annex J): what is asked, what is reported, and who waits for which report.

Reports may come over the association that asked or over one that the PACS makes; both end here. They are kept in memory:
after a restart the question is asked again.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hooks.contract import Commitment
from hooks.targets.dimse.association import Message
from hooks.targets.dimse.command import CommandField, NotDimse, Tag
from hooks.targets.dimse.identifier import items_of, record_of
from hooks.targets.qido import text
from hooks.targets.stow_response import FAILED_SOP_SEQUENCE, FAILURE_REASON, REFERENCED_SOP_SEQUENCE, values

log = logging.getLogger("relaypacs.dimse")

PUSH_MODEL = "1.2.840.10008.1.20.1"
#: The well-known instance of it (PS3.4 section J.3.5).
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
REQUEST_ACTION = 1
#: PS3.7 annex C: taken, no such transaction, not a report.
_OK, _NO_SUCH_INSTANCE, _INVALID = 0x0000, 0x0112, 0x0115
#: Transactions that are remembered; the oldest gives way, and is asked for again.
MOST_KEPT = 1000

_TRANSACTION_UID, _REFERENCED_SEQUENCE = 0x00081195, 0x00081199
_CLASS_UID, _INSTANCE_UID = 0x00081150, 0x00081155


@dataclass(frozen=True, slots=True)
class Report:
    """What an N-EVENT-REPORT says."""

    transaction_uid: str
    commitment: Commitment


class Reports:
    """Those of one PACS that are waited for. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Commitment | None] = OrderedDict()

    def expect(self, transaction_uid: str) -> None:
        """From now on a report of it is kept."""
        with self._lock:
            self._known.setdefault(transaction_uid, None)
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)

    def is_awaited(self, transaction_uid: str) -> bool:
        """It was asked for since this process began."""
        with self._lock:
            return transaction_uid in self._known

    def arrived(self, report: Report) -> bool:
        """Keep it. False: nobody waits for it."""
        with self._lock:
            if report.transaction_uid not in self._known:
                return False
            self._known[report.transaction_uid] = report.commitment
            return True

    def of(self, transaction_uid: str) -> Commitment | None:
        """None: not yet."""
        with self._lock:
            return self._known.get(transaction_uid)

    def forget(self, transaction_uid: str) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            self._known.pop(transaction_uid, None)


def question(transaction_uid: str, instances: Mapping[str, str]) -> bytes:
    """The data set of an N-ACTION (PS3.4 table J.3-1), in Implicit VR Little Endian.

    :param instances: SOPInstanceUID -> SOPClassUID.
    """
    items = b"".join(
        _nested(_uid(_CLASS_UID, class_uid) + _uid(_INSTANCE_UID, uid)) for uid, class_uid in instances.items()
    )
    head = struct.pack("<HHI", _REFERENCED_SEQUENCE >> 16, _REFERENCED_SEQUENCE & 0xFFFF, len(items))
    return _uid(_TRANSACTION_UID, transaction_uid) + head + items


def _nested(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def _uid(tag: int, uid: str) -> bytes:
    raw = uid.encode("ascii")
    raw += b"\0" * (len(raw) % 2)
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(raw)) + raw


def report_of(data_set: bytes) -> Report:
    """Of an N-EVENT-REPORT (PS3.4 table J.3-2). :raises NotDimse: it isn't one."""
    record = record_of(data_set)
    transaction_uid = text(record, f"{_TRANSACTION_UID:08X}")
    if not transaction_uid:
        raise NotDimse
    failed = {_instance(item): _reason(item) for item in items_of(record, FAILED_SOP_SEQUENCE)}
    committed = {_instance(item) for item in items_of(record, REFERENCED_SOP_SEQUENCE)}
    return Report(transaction_uid, Commitment(frozenset(committed - failed.keys() - {""}), failed))


def answer_to_report(message: Message, arrived: Callable[[Report], bool]) -> dict[Tag, int | str]:
    """Take a report; what is answered. :raises NotDimse: it lacks its event type."""
    event = message.command.number(Tag.EVENT_TYPE_ID)
    try:
        status = _OK if arrived(report_of(message.data_set)) else _NO_SUCH_INSTANCE
    except NotDimse:
        status = _INVALID
    if status != _OK:
        log.warning("commitment_report_refused status=%04X", status)
    return {
        Tag.COMMAND_FIELD: CommandField.N_EVENT_REPORT_RSP,
        Tag.AFFECTED_SOP_CLASS_UID: PUSH_MODEL,
        Tag.AFFECTED_SOP_INSTANCE_UID: PUSH_MODEL_INSTANCE,
        Tag.EVENT_TYPE_ID: event,
        Tag.STATUS: status,
    }


def _instance(item: Mapping[str, object]) -> str:
    return text(item, f"{_INSTANCE_UID:08X}")


def _reason(item: Mapping[str, object]) -> int | None:
    found: Iterable[object] = values(item, FAILURE_REASON)
    return next((one for one in found if isinstance(one, int)), None)
