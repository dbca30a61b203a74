"""An event of the trail as an audit message of DICOM (PS3.15 A.5), for an audit record repository.

Promises: an event has one message, always the same; studies are named by keyed digests and people by account ids, as
in the trail. Nothing here claims more than the schema: codes are of DCM where DICOM has one, and of 99RELAYPACS else.
Pure: an event in, XML out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

from gateway.ledger.rows import AuditRow

OUR_SCHEME = "99RELAYPACS"

#: Code -> meaning of PS3.16 annex D.
_DCM = {
    "110100": "Application Activity",
    "110101": "Audit Log Used",
    "110104": "DICOM Instances Transferred",
    "110105": "DICOM Study Deleted",
    "110107": "Import",
    "110110": "Patient Record",
    "110112": "Query",
    "110113": "Security Alert",
    "110114": "User Authentication",
    "110120": "Application Start",
    "110121": "Application Stop",
    "110122": "Login",
    "110123": "Logout",
    "110129": "Security Configuration",
    "110131": "Software Configuration",
    "110132": "Use of Restricted Function",
    "110136": "Security Roles Changed",
    "110137": "User Security Attributes Changed",
}


@dataclass(frozen=True, slots=True)
class MessageKind:
    """How an event of ours is said in DICOM.

    :param event: EventID.
    :param action: C, R, U, D or E (EventActionCode).
    :param type: EventTypeCode of DCM; empty: none.
    :param outcome: EventOutcomeIndicator: 0 success, 4 minor, 8 serious failure.
    """

    event: str
    action: str
    type: str = ""
    outcome: int = 0


_IMPORT, _DELETED, _ALERT = "110107", "110105", "110113"

#: Every event that the gateway writes; an unknown one is an Application Activity.
KINDS: Mapping[str, MessageKind] = {
    "gateway.started": MessageKind("110100", "E", "110120"),
    "gateway.stopped": MessageKind("110100", "E", "110121"),
    "config.loaded": MessageKind(_ALERT, "E", "110131"),
    "retention.gap": MessageKind("110100", "E"),
    "spool.swept": MessageKind("110100", "E"),
    "refusals.counted": MessageKind(_ALERT, "E", "110132", 4),
    "device.wipe_ordered": MessageKind(_ALERT, "D"),
    "device.wipe_told": MessageKind(_ALERT, "D"),
    "endpoint.up": MessageKind("110100", "E"),
    "endpoint.down": MessageKind(_ALERT, "E", "", 4),
    "endpoint.misconfigured": MessageKind(_ALERT, "E", "", 8),
    "login": MessageKind("110114", "E", "110122"),
    "logout": MessageKind("110114", "E", "110123"),
    "token.refreshed": MessageKind("110114", "E"),
    "token.reused": MessageKind(_ALERT, "E", "110132", 4),
    "token.issued": MessageKind("110114", "E"),
    "token.revoked": MessageKind("110114", "E"),
    "qr.created": MessageKind("110114", "E"),
    "qr.redeemed": MessageKind("110114", "E"),
    "qr.revoked": MessageKind("110114", "E"),
    "account.added": MessageKind(_ALERT, "C", "110136"),
    "account.role_changed": MessageKind(_ALERT, "U", "110136"),
    "account.limited": MessageKind(_ALERT, "U", "110137"),
    "account.disabled": MessageKind(_ALERT, "U", "110137"),
    "account.enabled": MessageKind(_ALERT, "U", "110137"),
    "account.deleted": MessageKind(_ALERT, "D", "110136"),
    "backup.begun": MessageKind(_ALERT, "R", "110137"),
    "backup.restored": MessageKind(_ALERT, "U", "110137"),
    "password.changed": MessageKind(_ALERT, "U", "110137"),
    "keys.created": MessageKind(_ALERT, "C", "110129"),
    "keys.activated": MessageKind(_ALERT, "U", "110129"),
    "keys.rotated": MessageKind(_ALERT, "U", "110129"),
    "receipt_key.rotated": MessageKind(_ALERT, "U", "110129"),
    "upload.opened": MessageKind(_IMPORT, "C"),
    "upload.completed": MessageKind(_IMPORT, "C"),
    "upload.joined": MessageKind(_IMPORT, "U"),
    "file.whole": MessageKind(_IMPORT, "C"),
    "file.lost": MessageKind(_ALERT, "D", "", 8),
    "file.removed": MessageKind(_IMPORT, "D"),
    "upload.routed": MessageKind(_IMPORT, "U"),
    "upload.held": MessageKind(_IMPORT, "U", "", 4),
    "upload.delayed": MessageKind(_IMPORT, "U", "", 4),
    "upload.released": MessageKind(_IMPORT, "U"),
    "upload.retried": MessageKind(_IMPORT, "U"),
    "upload.cancelled": MessageKind(_IMPORT, "D"),
    "upload.expired": MessageKind(_IMPORT, "D", "", 4),
    "upload.delivered": MessageKind("110104", "C"),
    "upload.purged": MessageKind(_DELETED, "D"),
    "files.purged": MessageKind(_DELETED, "D"),
    "record.deleted": MessageKind(_DELETED, "D"),
    "patient.revealed": MessageKind("110110", "R"),
    "uploads.searched": MessageKind("110112", "E"),
    "privacy.reported": MessageKind("110110", "R"),
    "audit.read": MessageKind("110101", "R"),
    "audit.verified": MessageKind("110101", "R"),
    "audit.exported": MessageKind("110101", "R"),
    "audit.pruned": MessageKind("110101", "D"),
}
_OTHER = MessageKind("110100", "E")
_FAILED_STATES = {"partial": 4, "failed": 8}


def to_xml(row: AuditRow, *, source_id: str) -> bytes:
    """The event as an AuditMessage (PS3.15 A.5.1), UTF-8.

    :param source_id: AuditSourceID: which gateway this is.
    """
    detail: dict[str, object] = json.loads(row.detail)
    kind = KINDS.get(row.event, _OTHER)
    outcome = max(kind.outcome, _FAILED_STATES.get(str(detail.get("state")), 0))
    message = Element("AuditMessage")
    event = SubElement(
        message,
        "EventIdentification",
        EventActionCode=kind.action,
        EventDateTime=datetime.fromtimestamp(row.at, UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=str(outcome),
    )
    _dcm(event, "EventID", kind.event)
    if kind.type:
        _dcm(event, "EventTypeCode", kind.type)
    _code(event, "EventTypeCode", row.event, OUR_SCHEME, row.event)
    _participants(message, row, kind, detail, source_id)
    source = SubElement(message, "AuditSourceIdentification", AuditSourceID=source_id)
    SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})  # application server process
    _objects(message, row, detail)
    written: bytes = tostring(message, encoding="utf-8", xml_declaration=True)
    return written


def _participants(
    message: Element, row: AuditRow, kind: MessageKind, detail: Mapping[str, object], source_id: str
) -> None:
    """Who asked, and the gateway; of a delivery also the PACS."""
    by_itself = row.actor == "gateway"
    if not by_itself:
        _participant(message, row.actor, requestor=True)
    ours = _participant(message, source_id, requestor=by_itself)
    if kind.event == "110104":
        _dcm_role(ours, "110153", "Source Role ID")
        target = _participant(message, str(detail.get("endpoint", "")), requestor=False)
        _dcm_role(target, "110152", "Destination Role ID")
    elif kind.event == "110100":
        _dcm_role(ours, "110150", "Application")


def _objects(message: Element, row: AuditRow, detail: Mapping[str, object]) -> None:
    studies = detail.get("studies")
    for mac in studies if isinstance(studies, list) else ():
        named = _object(message, str(mac), "study-digest", "Keyed digest of the Study Instance UID")
        _detail(named, "upload", row.upload_id or "")
    about = _object(message, row.upload_id, "upload", "Upload") if row.upload_id else None
    if about is None:
        about = _object(message, str(row.number), "audit-event", "Number of the event in the audit trail")
    else:
        _detail(about, "number", str(row.number))
    for name, value in sorted(detail.items()):
        if name != "studies":
            _detail(about, name, value if isinstance(value, str) else json.dumps(value, sort_keys=True))
    _detail(about, "mac", row.mac.hex())


def _participant(message: Element, user_id: str, *, requestor: bool) -> Element:
    return SubElement(message, "ActiveParticipant", UserID=user_id, UserIsRequestor="true" if requestor else "false")


def _object(message: Element, object_id: str, code: str, meaning: str) -> Element:
    """A system object (ParticipantObjectTypeCode 2) in the role of a report (3)."""
    found = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=object_id,
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole="3",
    )
    _code(found, "ParticipantObjectIDTypeCode", code, OUR_SCHEME, meaning)
    return found


def _detail(parent: Element, name: str, value: str) -> None:
    SubElement(parent, "ParticipantObjectDetail", type=name, value=base64.b64encode(value.encode()).decode())


def _dcm(parent: Element, tag: str, code: str) -> None:
    _code(parent, tag, code, "DCM", _DCM[code])


def _dcm_role(participant: Element, code: str, meaning: str) -> None:
    _code(participant, "RoleIDCode", code, "DCM", meaning)


def _code(parent: Element, tag: str, code: str, scheme: str, meaning: str) -> None:
    SubElement(parent, tag, {"csd-code": code, "codeSystemName": scheme, "originalText": meaning})
