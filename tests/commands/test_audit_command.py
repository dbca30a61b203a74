"""`relaypacs audit`: the trail checked against its files, and exported."""

from __future__ import annotations

import base64
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from gateway.audit.export import AuditExport
from gateway.cli.opening import ACTOR as CLI
from gateway.ledger.chain import from_line, verify
from tests.commands.site import events, relaypacs, send
from tests.unit.delivery.little_pacs import Toy, toys


@pytest.fixture
def path(gate):
    return gate.folder / "audit.jsonl"


@pytest.fixture
async def exported(gate, path):
    """A trail with a delivery in it, and its file."""
    await send(gate, await gate.person(), *toys(2))
    await gate.deliver()
    await AuditExport(gate.ledger, path, gate.base.keys.audit_mac_key).catch_up()
    return path


async def check(gate, path, *words):
    return await relaypacs(gate, "audit", "verify", *words, RELAYPACS__AUDIT__FILE=str(path))


async def test_a_whole_trail_is_said_to_be_whole_and_the_look_is_an_event(gate, exported):
    said = await check(gate, exported)
    assert (said.status, said.err) == (0, "")
    assert said.out.endswith("the trail is whole\n")
    assert (await events(gate))[-1] == ("audit.verified", CLI)


async def test_a_changed_line_is_found_and_named(gate, exported):
    lines = exported.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"actor":"', b'"actor":"x')
    exported.write_bytes(b"".join(lines))
    said = await check(gate, exported)
    assert said.status == 1
    assert said.err == "relaypacs: audit.jsonl: line 4: event 4 was changed, dropped or inserted\n"
    assert "NOT whole" in said.out


async def test_a_changed_row_is_found_and_named(gate, exported):
    def change(tx):
        tx.audit._db.execute("UPDATE audit SET actor = 'x' WHERE number = 3")

    await gate.ledger.write(change)
    said = await check(gate, exported)
    assert said.status == 1
    assert "ledger: event 3 was changed" in said.err


async def test_a_ledger_that_was_put_back_is_found_by_the_file(gate, exported):
    def put_back(tx):
        rows = tx.audit.after(0, 1000)
        last = rows[-3]
        tx.audit._db.execute("DELETE FROM audit WHERE number > ?", (last.number,))
        tx.audit._db.execute("UPDATE audit_head SET number = ?, mac = ?", (last.number, last.mac))
        tx.settings.put("audit_exported", str(last.number))

    await gate.ledger.write(put_back)
    said = await check(gate, exported)
    assert said.status == 1
    assert "the ledger was put back" in said.err


async def test_a_ledger_that_was_put_back_and_went_on_is_found_too(gate, exported):
    def put_back(tx):
        rows = tx.audit.after(0, 1000)
        last = rows[-3]
        tx.audit._db.execute("DELETE FROM audit WHERE number > ?", (last.number,))
        tx.audit._db.execute("UPDATE audit_head SET number = ?, mac = ?", (last.number, last.mac))
        tx.settings.put("audit_exported", str(last.number))
        for _ in range(10):
            tx.audit.append("login", at=1.0, actor="x")

    await gate.ledger.write(put_back)
    said = await check(gate, exported)
    assert said.status == 1
    assert "different stories" in said.err


async def test_a_file_that_was_moved_away_is_named(gate, exported):
    moved = exported.with_name("elsewhere.jsonl")
    exported.rename(moved)
    gone = await check(gate, exported)
    assert (gone.status, gone.err) == (1, "relaypacs: the audit file is gone: name it where it was moved to\n")
    said = await check(gate, exported, "--file", str(moved))
    assert (said.status, said.err) == (0, "")
    assert (await check(gate, exported, "--file", "/nowhere")).status == 1


async def test_an_event_that_several_files_have_is_counted_once(gate, exported, tmp_path):
    alone = (await check(gate, exported)).out.splitlines()[0]
    count = int(alone.split("; ")[1].split()[0])
    assert alone.endswith(f"; {count} events in 1 files")
    named_again = await check(gate, exported, "--file", str(exported))
    assert f"; {count} events in 1 files\n" in named_again.out
    linked = tmp_path / "link.jsonl"
    linked.symlink_to(exported)
    assert f"; {count} events in 1 files\n" in (await check(gate, exported, "--file", str(linked))).out

    copy = tmp_path / "export.jsonl"
    await relaypacs(gate, "audit", "export", "--to", str(copy))
    lines = copy.read_bytes().splitlines(keepends=True)
    copy.write_bytes(b"".join(lines[: count - 1]))  # ends before the ledger's own does
    both = await check(gate, exported, "--file", str(copy))
    assert (both.status, both.err) == (0, "")
    assert f"; {count} events in 2 files\n" in both.out
    copy.write_bytes(b"".join(lines[: count + 2]))  # and behind it
    assert f"; {count + 2} events in 2 files\n" in (await check(gate, exported, "--file", str(copy))).out


async def test_without_a_file_the_report_says_what_could_not_be_seen(gate):
    said = await relaypacs(gate, "audit", "verify")
    assert said.status == 0
    assert "no audit.file is configured" in said.out


async def test_exported_lines_are_the_trail_and_can_be_checked_elsewhere(gate, tmp_path):
    await send(gate, await gate.person(), *toys(1))
    said = await relaypacs(gate, "audit", "export")
    rows = [from_line(line) for line in said.out.encode().splitlines()]
    assert verify(rows, gate.base.keys.audit_mac_key, (rows[-1].number, rows[-1].mac)).whole
    assert rows[-1].event == "audit.exported"
    target = tmp_path / "out.jsonl"
    await relaypacs(gate, "audit", "export", "--to", str(target), "--after", str(rows[-2].number))
    assert [from_line(line).number for line in target.read_bytes().splitlines()] == [
        rows[-1].number,
        rows[-1].number + 1,
    ]
    assert target.stat().st_mode & 0o777 == 0o600


async def test_dicom_messages_name_studies_by_digest_and_people_by_account(gate, tmp_path):
    person = await gate.person()
    toy = replace(toys(1)[0], study="1.2.826.0.1.99")
    await send(gate, person, toy, study_metadata={"patient_name": "Mustermann^Erika"})
    await gate.deliver()
    folder = tmp_path / "messages"
    said = await relaypacs(gate, "audit", "export", "--format", "dicom", "--to", str(folder))
    assert said.status == 0, said.err
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    trail = await gate.ledger.read(lambda tx: tx.audit.after(0, 1000))
    assert sorted(found) == [f"{row.number:012}.xml" for row in trail]
    delivered = next(row for row in trail if row.event == "upload.delivered")
    message = ET.fromstring(found[f"{delivered.number:012}.xml"])
    assert [found.attrib["csd-code"] for found in message.iter("EventID")] == ["110104"]
    objects = message.findall("ParticipantObjectIdentification")
    digest = gate.base.keys.index_mac(b"audit|study|1.2.826.0.1.99").hex()
    assert objects[0].attrib["ParticipantObjectID"] == digest
    assert objects[1].attrib["ParticipantObjectID"] == delivered.upload_id
    everything = b"".join(found.values()) + b"".join(
        base64.b64decode(detail.attrib["value"])
        for raw in found.values()
        for detail in ET.fromstring(raw).iter("ParticipantObjectDetail")
    )
    for secret in (b"Mustermann", b"1.2.826.0.1.99", b"maria"):
        assert secret not in everything
    assert person.row.account_id.encode() in everything


async def test_dicom_messages_need_a_folder(gate):
    said = await relaypacs(gate, "audit", "export", "--format", "dicom")
    assert (said.status, said.err.count("\n")) == (1, 1)
    assert "--to" in said.err


async def test_the_delivery_of_a_study_can_be_found_by_who_knows_its_uid(gate):
    await send(gate, await gate.person(), Toy("1.2.3.4.5", study="1.2.3.4"))
    await gate.deliver()
    rows = await gate.ledger.read(lambda tx: tx.audit.after(0, 1000))
    (studies,) = [json.loads(row.detail)["studies"] for row in rows if row.event == "upload.delivered"]
    assert studies == [gate.base.keys.index_mac(b"audit|study|1.2.3.4").hex()]
