"""Storage commitment, Push Model (PS3.4 annex J): what is asked, and what is reported.

Reports may come over the association that asked or over one that the PACS makes; both end here.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping

from hooks.targets.dimse.association import Message
from hooks.targets.dimse.command import CommandField, NotDimse, Tag
from hooks.targets.dimse.identifier import record_of
from hooks.targets.transactions import Report, report_in

log = logging.getLogger("relaypacs.dimse")

PUSH_MODEL = "1.2.840.10008.1.20.1"
#: The well-known instance of it (PS3.4 section J.3.5).
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
REQUEST_ACTION = 1
#: PS3.7 annex C: taken, no such transaction, not a report.
_OK, _NO_SUCH_INSTANCE, _INVALID = 0x0000, 0x0112, 0x0115

_TRANSACTION_UID, _REFERENCED_SEQUENCE = 0x00081195, 0x00081199
_CLASS_UID, _INSTANCE_UID = 0x00081150, 0x00081155


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
    report = report_in(record_of(data_set))
    if not report.transaction_uid:
        raise NotDimse
    return report


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
