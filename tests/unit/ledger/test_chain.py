"""The audit chain: what it shows, what its lines say."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from gateway.errors import Malformed
from gateway.ledger.chain import START, from_line, link, to_line, verify
from gateway.ledger.rows import AuditRow

KEY = bytes(range(32))


def trail(length: int) -> list[AuditRow]:
    rows: list[AuditRow] = []
    head = START
    for n in range(length):
        rows.append(
            link(KEY, *head, event=f"event.{n}", at=n / 3, actor="a", upload_id="u" if n % 2 else None, detail={"n": n})
        )
        head = rows[-1].number, rows[-1].mac
    return rows


def head_of(rows: list[AuditRow]) -> tuple[int, bytes]:
    return rows[-1].number, rows[-1].mac


def test_a_mac_covers_the_one_before_it_and_every_field() -> None:
    first, second = trail(2)
    said = b'[2,0.3333333333333333,"event.1","a","u","{\\"n\\":1}"]'
    assert second.mac == hmac.new(KEY, first.mac + said, hashlib.sha256).digest()


def test_a_whole_trail_is_whole_from_its_start_and_from_any_event() -> None:
    rows = trail(6)
    verdict = verify(iter(rows), KEY, head_of(rows))
    assert verdict.whole
    assert verdict.checked == 6
    assert verify(rows[3:], KEY, head_of(rows), before=head_of(rows[:3])).whole
    assert verify([], KEY, START).whole


@pytest.mark.parametrize(
    "changed",
    [{"at": 9.0}, {"event": "x"}, {"actor": "x"}, {"upload_id": "x"}, {"detail": '{"n":9}'}, {"mac": bytes(32)}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_changed_field_is_found_where_it_was_changed(changed: dict) -> None:
    rows = trail(6)
    head = head_of(rows)
    rows[3] = replace(rows[3], **changed)
    verdict = verify(rows, KEY, head)
    assert (verdict.whole, verdict.checked, verdict.broken_at) == (False, 3, 4)


def test_a_dropped_a_repeated_and_a_moved_event_are_found() -> None:
    rows = trail(6)
    assert verify(rows[:2] + rows[3:], KEY, head_of(rows)).broken_at == 3
    assert verify(rows[:3] + rows[2:], KEY, head_of(rows)).broken_at == 4
    assert verify([*rows[:2], rows[3], rows[2], *rows[4:]], KEY, head_of(rows)).broken_at == 3


def test_a_trail_cut_at_its_end_does_not_reach_its_head() -> None:
    rows = trail(6)
    assert verify(rows[:4], KEY, head_of(rows)).broken_at == 5
    assert verify([], KEY, head_of(rows)).broken_at == 1


def test_events_behind_the_head_are_found() -> None:
    rows = trail(6)
    assert verify(rows, KEY, head_of(rows[:4])).broken_at == 5


def test_another_key_verifies_nothing() -> None:
    rows = trail(2)
    assert verify(rows, bytes(32), head_of(rows)).broken_at == 1


def test_a_line_says_everything_and_is_read_back_as_the_same_event() -> None:
    row = link(
        KEY, 7, b"m" * 32, event="e", at=1.5, actor="Ä", upload_id=None, detail={"b": "\n", "a": [1, {"c": 2.5}]}
    )
    line = to_line(row)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "number": 8,
        "at": "1970-01-01T00:00:01.5Z",
        "event": "e",
        "actor": "Ä",
        "upload_id": None,
        "detail": {"b": "\n", "a": [1, {"c": 2.5}]},
        "mac": row.mac.hex(),
    }
    assert from_line(line) == row


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"null", b'{"number":1}', to_line(trail(1)[0])[:-5], b"\xff\n"])
def test_what_is_no_line_is_refused(line: bytes) -> None:
    with pytest.raises(Malformed):
        from_line(line)


@pytest.mark.parametrize(("field", "value"), [("number", "1"), ("number", True), ("mac", 5), ("event", None)])
def test_a_line_with_a_wrong_type_is_refused(field: str, value: object) -> None:
    members = json.loads(to_line(trail(1)[0]))
    with pytest.raises(Malformed):
        from_line(json.dumps(members | {field: value}).encode())


def test_what_json_can_not_say_is_no_detail() -> None:
    with pytest.raises(ValueError):
        link(KEY, *START, event="e", at=1.0, actor="a", upload_id=None, detail={"x": float("nan")})
