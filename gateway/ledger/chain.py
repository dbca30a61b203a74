"""The audit trail as a chain: who changes, drops or inserts an event breaks every MAC behind it.

Pure: rows and a key in, rows and verdicts out. It knows no ledger and no file.

A file of the trail may begin anywhere: its opening line has the head before its first event, sealed under the key, so
that nobody else can make a shortened file look whole.

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
from datetime import UTC, datetime

from gateway.errors import Malformed
from gateway.ledger.rows import AuditRow

#: Number and MAC of an event: what the next one is chained to.
Head = tuple[int, bytes]
#: Head of an empty trail.
START: Head = (0, b"")
#: `json.dumps` would make one for each event.
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
#: Purpose of the seal of the head that deleted events left behind.
PRUNED = "pruned"


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


def verify(rows: Iterable[AuditRow], key: bytes, head: Head, *, before: Head = START) -> ChainVerdict:
    """Check a trail in one pass; nothing of it is held.

    :param head: number and MAC that the last event must have.
    :param before: number and MAC of the event before the first of `rows`.
    """
    walk = ChainWalk(key, before)
    for row in rows:
        if not walk.take(row):
            return ChainVerdict(walk.checked, walk.head[0] + 1)
    number, mac = walk.head
    if number != head[0] or not hmac.compare_digest(mac, head[1]):
        return ChainVerdict(walk.checked, min(number, head[0]) + 1 if number != head[0] else number)
    return ChainVerdict(walk.checked, None)


class ChainWalk:
    """A trail checked event by event.

    :ivar head: number and MAC of the last event that was right.
    :ivar checked: how many were.
    """

    def __init__(self, key: bytes, before: Head) -> None:
        self._key = key
        self.head = before
        self.checked = 0

    def take(self, row: AuditRow) -> bool:
        """Whether `row` is the event that follows; if not, the walk stays where it is."""
        number, mac = self.head
        if row.number != number + 1 or not hmac.compare_digest(_sealed(self._key, mac, row).mac, row.mac):
            return False
        self.head = row.number, row.mac
        self.checked += 1
        return True


def seal(key: bytes, purpose: str, head: Head) -> bytes:
    """Proof that the trail itself named this head for this purpose: who lacks the key can't make one."""
    return hmac.new(key, f"{purpose}|{head[0]}|".encode() + head[1], "sha256").digest()


def opening_line(key: bytes, head: Head) -> bytes:
    """The first line of a file whose first event follows `head`."""
    members = {"number": head[0], "mac": head[1].hex(), "seal": seal(key, "opening", head).hex()}
    return json.dumps({"opening": members}, separators=(",", ":")).encode() + b"\n"


def read_opening(line: bytes, key: bytes) -> Head | None:
    """The head that a file opens with; None: the line is an event.

    :raises Malformed: it says that it opens a file, and isn't what `opening_line` wrote.
    """
    if not line.startswith(b'{"opening"'):
        return None
    try:
        members = json.loads(line)["opening"]
        head = int(members["number"]), bytes.fromhex(members["mac"])
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed("the opening of an audit file can't be read") from error
    if not hmac.compare_digest(opening_line(key, head), line):
        raise Malformed("the opening of an audit file isn't one that this trail wrote")
    return head


def to_line(row: AuditRow) -> bytes:
    """The event as a line of JSON with its newline."""
    return _line(row, _written(row.at))


def former_line(row: AuditRow) -> bytes:
    """The same as former releases wrote it: with the time as a number, unix seconds."""
    return _line(row, row.at)


def _line(row: AuditRow, at: str | float) -> bytes:
    members = {
        "number": row.number,
        "at": at,
        "event": row.event,
        "actor": row.actor,
        "upload_id": row.upload_id,
        "detail": json.loads(row.detail),
        "mac": row.mac.hex(),
    }
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _written(at: float) -> str:
    """RFC 3339, UTC, with every digit that the number has: the chain's MAC is over the number."""
    seconds, _, fraction = repr(at).partition(".")
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%S}.{fraction}Z"


def _read(at: object) -> float:
    """What `_written` wrote, or a number as former releases wrote it. :raises ValueError: neither."""
    if not isinstance(at, str):
        return float(at)  # type: ignore[arg-type]  # TypeError where it is none
    seconds, _, fraction = at.removesuffix("Z").partition(".")
    return float(f"{int(datetime.fromisoformat(seconds + '+00:00').timestamp())}.{fraction or 0}")


def from_line(line: bytes) -> AuditRow:
    """The event that `to_line` wrote.

    :raises Malformed: it is no such line.
    """
    try:
        members = json.loads(line)
        row = AuditRow(
            number=members["number"],
            at=_read(members["at"]),
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
    return _CANONICAL.encode(value)


def _sealed(key: bytes, before: bytes, row: AuditRow) -> AuditRow:
    said = _canonical([row.number, row.at, row.event, row.actor, row.upload_id, row.detail])
    mac = hmac.new(key, before + said.encode(), "sha256").digest()
    return AuditRow(row.number, row.at, row.event, row.actor, row.upload_id, row.detail, mac)
