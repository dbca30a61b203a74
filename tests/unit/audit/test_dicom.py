"""Events as audit messages of DICOM PS3.15 A.5: every event has one, of the shape that the schema asks for."""

from __future__ import annotations

import ast
import base64
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from pydicom.sr.codedict import codes

from gateway.audit.dicom import _DCM, KINDS, MessageKind, to_xml
from gateway.ledger.rows import AuditRow

ROOT = Path(__file__).parents[3]


def row(event: str, actor: str = "account:1", upload_id: str | None = "u" * 32, **detail: object) -> AuditRow:
    return AuditRow(7, 1_800_000_000.25, event, actor, upload_id, json.dumps(detail), bytes(32))


def events_in_the_source() -> set[str]:
    """Strings like `noun.verb` that are handed to something that appends to the trail."""
    found = set()
    for path in (ROOT / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"append", "_note", "_change"}:
                for argument in node.args[:3]:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        found.add(argument.value)
    return {
        name
        for name in found
        if name in {"login", "logout"} or (name.count(".") == 1 and name.isascii() and " " not in name)
    }


def test_every_event_that_the_gateway_writes_has_its_kind():
    written = events_in_the_source()
    assert {"login", "upload.delivered", "patient.revealed", "gateway.started"} <= written
    assert written <= set(KINDS), f"say in KINDS what these are: {written - set(KINDS)}"


def test_codes_and_meanings_are_dicoms():
    known = {code.value: code.meaning for code in (getattr(codes.DCM, name) for name in codes.DCM.dir())}
    for code, meaning in _DCM.items():
        assert known[code] == meaning


@pytest.mark.parametrize("event", [*KINDS, "something.new"])
def test_a_message_has_the_elements_of_the_schema_in_their_order(event):
    message = ET.fromstring(to_xml(row(event, studies=["ab" * 32], state="partial"), source_id="https://relay.test"))
    assert message.tag == "AuditMessage"
    order = [child.tag for child in message]
    schema = [
        "EventIdentification",
        "ActiveParticipant",
        "AuditSourceIdentification",
        "ParticipantObjectIdentification",
    ]
    assert sorted(order, key=schema.index) == order
    assert set(order) == set(schema)
    identification = message[0]
    assert set(identification.attrib) == {"EventActionCode", "EventDateTime", "EventOutcomeIndicator"}
    assert identification.attrib["EventActionCode"] in "CRUDE"
    assert identification.attrib["EventOutcomeIndicator"] in {"0", "4", "8", "12"}
    assert identification.attrib["EventDateTime"] == "2027-01-15T08:00:00.250+00:00"
    assert identification[0].tag == "EventID"
    assert {child.tag for child in identification[1:]} == {"EventTypeCode"}
    requestors = [one for one in message.findall("ActiveParticipant") if one.attrib["UserIsRequestor"] == "true"]
    assert [one.attrib["UserID"] for one in requestors] == ["account:1"]
    for one in message.findall("ParticipantObjectIdentification"):
        assert set(one.attrib) == {
            "ParticipantObjectID", "ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole",
        }  # fmt: skip
        assert next(child.tag for child in one) == "ParticipantObjectIDTypeCode"
    for element in message.iter():
        if "csd-code" in element.attrib and element.tag != "AuditSourceTypeCode":
            assert set(element.attrib) == {"csd-code", "codeSystemName", "originalText"}


def test_a_delivery_that_failed_says_so_and_names_source_and_destination():
    message = ET.fromstring(to_xml(row("upload.delivered", "gateway", endpoint="main", state="failed"), source_id="me"))
    assert message[0].attrib["EventOutcomeIndicator"] == "8"
    roles = {
        one.attrib["UserID"]: [role.attrib["csd-code"] for role in one] for one in message.findall("ActiveParticipant")
    }
    assert roles == {"me": ["110153"], "main": ["110152"]}


def test_details_are_base64_and_nothing_in_them_breaks_the_message():
    odd = 'a<b>&"\u0001 ü'
    raw = to_xml(row("upload.retried", reason=odd), source_id='x"<&>')
    (found,) = [one for one in ET.fromstring(raw).iter("ParticipantObjectDetail") if one.attrib["type"] == "reason"]
    assert base64.b64decode(found.attrib["value"]).decode() == odd


def test_the_same_event_gives_the_same_message():
    assert to_xml(row("login", a=1, b=2), source_id="x") == to_xml(row("login", b=2, a=1), source_id="x")


def test_kinds_are_of_known_codes():
    for kind in (*KINDS.values(), MessageKind("110100", "E")):
        assert kind.event in _DCM
        assert kind.type == "" or kind.type in _DCM
