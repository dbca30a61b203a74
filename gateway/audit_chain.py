"""The audit trail as a chain: who changes, drops or inserts an event breaks every MAC behind it.

Pure: rows and a key in, rows and verdicts out. It knows no ledger and no file.

A link's MAC is HMAC-SHA256(key, previous MAC | canonical JSON of [number, at, event, actor, upload_id, detail]), where
the previous MAC of the first link is empty, `detail` is itself a string of canonical JSON (keys sorted, no blanks,
UTF-8), and numbers go up by one. The head (number, MAC) is kept apart from the rows: a trail cut at its end doesn't
reach it. What the chain can't show is an older state of rows and head together: the exported file is there for that.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.errors import Malformed
from gateway.ledger.rows import AuditRow

#: Head of an empty trail.
START: tuple[int, bytes] = (0, b"")


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What `verify` found."""

    checked: int  #: events whose MAC was right
    broken_at: int | None  #: number of the first event that is wrong or missing; None: all is whole

    @property
    def whole(self) -> bool:
        """Whether nothing was changed, dropped or inserted."""
        return self.broken_at is None


def link(
    key: bytes,
    number: int,
    mac: bytes,
    *,
    event: str,
    at: float,
    actor: str,
    upload_id: str | None,
    detail: Mapping[str, object],
) -> AuditRow:
    """The event that follows the head (`number`, `mac`). `detail` is anything that JSON can say."""
    row = AuditRow(number + 1, float(at), event, actor, upload_id, _canonical(dict(detail)), b"")
    return _sealed(key, mac, row)


def verify(
    rows: Iterable[AuditRow], key: bytes, head: tuple[int, bytes], *, before: tuple[int, bytes] = START
) -> ChainVerdict:
    """Check a trail in one pass; nothing of it is held.

    :param head: number and MAC that the last event must have.
    :param before: number and MAC of the event before the first of `rows`.
    """
    number, mac = before
    checked = 0
    for row in rows:
        expected = _sealed(key, mac, row)
        if row.number != number + 1 or not hmac.compare_digest(expected.mac, row.mac):
            return ChainVerdict(checked, number + 1)
        number, mac = row.number, row.mac
        checked += 1
    if number != head[0] or not hmac.compare_digest(mac, head[1]):
        return ChainVerdict(checked, min(number, head[0]) + 1 if number != head[0] else number)
    return ChainVerdict(checked, None)


def to_line(row: AuditRow) -> bytes:
    """The event as a line of JSON with its newline."""
    members = {
        "number": row.number,
        "at": row.at,
        "event": row.event,
        "actor": row.actor,
        "upload_id": row.upload_id,
        "detail": json.loads(row.detail),
        "mac": row.mac.hex(),
    }
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> AuditRow:
    """The event that `to_line` wrote.

    :raises Malformed: it is no such line.
    """
    try:
        members = json.loads(line)
        row = AuditRow(
            number=members["number"],
            at=float(members["at"]),
            event=members["event"],
            actor=members["actor"],
            upload_id=members["upload_id"],
            detail=_canonical(members["detail"]),
            mac=bytes.fromhex(members["mac"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed("a line of the audit file can't be read") from error
    texts = (row.event, row.actor, "" if row.upload_id is None else row.upload_id)
    if type(row.number) is not int or not all(isinstance(text, str) for text in texts):
        raise Malformed("a line of the audit file can't be read")
    return row


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _sealed(key: bytes, before: bytes, row: AuditRow) -> AuditRow:
    said = _canonical([row.number, row.at, row.event, row.actor, row.upload_id, row.detail])
    mac = hmac.digest(key, before + said.encode(), "sha256")
    return AuditRow(row.number, row.at, row.event, row.actor, row.upload_id, row.detail, mac)
