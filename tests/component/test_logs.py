"""What is logged: words and codes, as text or as JSON; never a value of a client, a library or a failure's words."""

from __future__ import annotations

import io
import json
import logging
import os
import threading

import pytest

from gateway.cli.logs import MOST_WAITING, TEXT, Discreet, DiscreetGroups, JsonLines, TextLines
from tests.component.gateway_app import gateway_app

NAME = "Mustermann^Erika"


@pytest.fixture
def said():
    """Everything that is logged meanwhile, as JSON and as text."""
    json_lines, text = io.StringIO(), io.StringIO()
    handlers = [Discreet(json_lines), Discreet(text)]
    handlers[0].setFormatter(JsonLines())
    handlers[1].setFormatter(logging.Formatter(TEXT))
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    for handler in handlers:
        root.addHandler(handler)
    yield json_lines, text
    for handler in handlers:
        root.removeHandler(handler)
    root.setLevel(level)


def lines(said):
    return [json.loads(line) for line in said[0].getvalue().splitlines()]


async def test_a_request_is_one_line_with_its_route_as_a_template(tmp_path, said):
    async with gateway_app(tmp_path) as gate:
        person = await gate.person()
        opened = await gate.init(person.token)
        await gate.ask("GET", f"/upload/{opened.upload_id}/status?patient={NAME}", opened.token)
        await gate.ask("GET", f"/{NAME}", headers={"X-Request-ID": "a" * 16, "User-Agent": NAME})
    seen = [line for line in lines(said) if line["logger"] == "relaypacs.access"]
    assert [(line["method"], line["route"], line["status"]) for line in seen[-2:]] == [
        ("GET", "/upload/{upload_id}/status", 200),
        ("GET", "-", 404),
    ]
    assert seen[-1]["request_id"] == "a" * 16
    assert set(seen[-1]) == {
        *("at", "level", "logger", "message", "method", "route", "status", "code", "upload", "account"),
        *("address", "bytes", "ms", "request_id"),
    }
    for stream in said:
        assert NAME not in stream.getvalue()


async def test_an_uploader_s_complaint_leads_to_its_cause_by_one_search(tmp_path, said):
    """By what they have: the upload, or the problem's request_id; the line has the account, the code and where from."""
    async with gateway_app(tmp_path) as gate:
        person = await gate.person()
        opened = await gate.init(person.token, [10])
        path = f"/upload/{opened.upload_id}/chunk?file_id=a&chunk_index=0"
        await gate.ask("PUT", path, opened.token, data=b"x" * 9)
        refused = await gate.ask("PUT", path, opened.token, data=b"y" * 9)
        assert refused.status == 409
    (line,) = [one for one in lines(said) if one.get("upload") == opened.upload_id and one.get("status") == 409]
    assert line["request_id"] == refused.headers["X-Request-ID"]
    assert (line["code"], line["bytes"], line["address"]) == (refused.json["code"], 9, "127.0.0.1")
    assert line["account"] == person.row.account_id


async def test_the_line_of_a_request_that_opens_an_upload_names_it(tmp_path, said):
    async with gateway_app(tmp_path) as gate:
        person, issuer = await gate.person(), await gate.person("ivo", "issuer")
        opened = await gate.init(person.token)
        made = await gate.ask("POST", "/qr", issuer.token, json={"endpoint_id": "main"})
        by_qr = await gate.init(made.json["upload_token"])
        path = await gate.tus_file(person.token, 5)
        assert (await gate.tus_patch(person.token, path, 0, b"12345")).status == 204
        alone = (await gate.file_at(path)).upload_id
        refused = await gate.ask("POST", "/upload/init", person.token, json={"study_metadata": {}, "total_files": 0})
        assert refused.status == 422
    seen = [
        (line["method"], line["route"], line["upload"])
        for line in lines(said)
        if line["logger"] == "relaypacs.access" and line["route"] != "/qr"
    ]
    assert seen == [
        ("POST", "/upload/init", opened.upload_id),
        ("POST", "/upload/init", by_qr.upload_id),
        ("POST", "/files/", alone),
        ("PATCH", "/files/{file_id}", alone),
        ("POST", "/upload/init", "-"),
    ]


async def test_a_foreign_id_in_a_path_is_not_logged(tmp_path, said):
    async with gateway_app(tmp_path) as gate:
        person = await gate.person()
        await gate.ask("GET", f"/upload/{'a' * 32}/status", person.token)
    assert "a" * 32 not in said[0].getvalue()


async def test_what_the_gateway_cannot_do_is_a_warning_and_a_healthy_probe_is_nothing(tmp_path, said):
    async with gateway_app(tmp_path) as gate:
        await gate.ask("GET", "/healthz")
        gate.services.draining.append(True)
        assert (await gate.ask("GET", "/endpoints")).status == 503
    seen = [line for line in lines(said) if line["logger"] == "relaypacs.access"]
    assert [(line["level"], line["code"]) for line in seen] == [("warning", "draining")]


def test_a_message_keeps_its_words_and_its_values_become_members(said):
    logging.getLogger("relaypacs.delivery").info("upload_held upload=%s codes=%s count=%d", "ab12", "x,y", 7)
    (line,) = lines(said)
    assert (line["message"], line["upload"], line["codes"], line["count"]) == ("upload_held", "ab12", "x,y", 7)
    assert (line["level"], line["logger"]) == ("info", "relaypacs.delivery")
    assert line["at"].endswith("Z")


def test_a_value_takes_no_place_of_the_records_own(said):
    logging.getLogger("relaypacs.x").warning("odd level=low at=never")
    (line,) = lines(said)
    assert line["level"] == "warning"
    assert line["at"] != "never"


def test_of_a_failure_the_stack_is_told_and_not_its_words(said):
    try:
        raise ValueError(NAME)
    except ValueError as error:
        shown = (RuntimeError, RuntimeError("ValueError"), error.__traceback__)
        logging.getLogger("relaypacs.web").exception("unforeseen error=%s", "ValueError", exc_info=shown)
    (line,) = lines(said)
    assert line["stack"][0].endswith("test_of_a_failure_the_stack_is_told_and_not_its_words")
    assert all(NAME not in stream.getvalue() for stream in said)


def test_what_libraries_say_is_withheld(said):
    logging.getLogger("library.of.others").warning("Retrying: /studies?PatientName=%s", NAME)
    try:
        raise ValueError(NAME)
    except ValueError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
    assert [(line["logger"], line["code"], line["error"]) for line in lines(said)] == [
        ("library.of.others", "library_message", "-"),
        ("asyncio", "library_message", "ValueError"),
    ]
    assert all(NAME not in stream.getvalue() for stream in said)


@pytest.fixture
def grouped():
    """A logger whose lines come out of a pipe."""
    reads, writes = os.pipe()
    handler = DiscreetGroups(writes)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log = logging.getLogger("relaypacs.grouped")
    log.propagate, level = False, log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    yield log, reads
    log.removeHandler(handler)
    log.propagate = True
    log.setLevel(level)
    handler.close()
    os.close(reads)
    os.close(writes)


def read_lines(reads, count):
    text = b""
    while text.count(b"\n") < count:
        text += os.read(reads, 1 << 20)
    return text.decode().splitlines()


def test_lines_come_in_their_order_and_a_warning_waits_for_nobody(grouped):
    log, reads = grouped
    for number in range(5):
        log.info("number=%d", number)
    log.warning("late")
    assert os.read(reads, 1 << 16).decode().splitlines()[-1] == "WARNING late"  # without any wait of ours


def test_an_everyday_line_comes_by_itself(grouped):
    log, reads = grouped
    log.info("one")
    assert read_lines(reads, 1) == ["INFO one"]
    log.info("two")
    assert read_lines(reads, 1) == ["INFO two"]


def test_no_line_of_many_threads_is_lost_or_torn(grouped):
    log, reads = grouped
    count = MOST_WAITING + 50
    writers = [
        threading.Thread(target=lambda name=name: [log.info("%s=%d", name, number) for number in range(count)])
        for name in "abc"
    ]
    for writer in writers:
        writer.start()
    seen = read_lines(reads, 3 * count)
    for writer in writers:
        writer.join()
    for name in "abc":
        assert [line for line in seen if line.startswith(f"INFO {name}=")] == [
            f"INFO {name}={number}" for number in range(count)
        ]


def test_a_line_of_text_has_the_time_as_before():
    record = logging.LogRecord("relaypacs.x", logging.INFO, "", 0, "word", (), None)
    for created in (1_800_000_000.25, 1_800_000_000.5, 1_800_000_001.0):
        record.created, record.msecs = created, created % 1 * 1000
        assert TextLines(TEXT).format(record) == logging.Formatter(TEXT).format(record)
