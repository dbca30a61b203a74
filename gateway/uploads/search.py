"""Which uploads an admin means: filters, and the walk that finds what fits (CONTRACT 2.6).

Promises: nobody's identifier is in an index: those of uploads are sealed, and each candidate's is opened and compared;
what is erased can't be found by them. A walk is bounded: it ends after so many uploads and tells where to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.errors import Unprocessable
from gateway.keys.columns import Column
from gateway.keys.unwrap import upload_key
from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import UploadRow
from gateway.spool import KeyRing, UploadKey
from gateway.states import UploadState
from gateway.uploads.views import Views

#: (upload's key, file_id, `facts_sealed`) -> what the file says of its patient and study.
ReadFacts = Callable[[UploadKey, str, bytes], Mapping[str, str]]

#: Filters that name nobody: they may be in a URL.
PLAIN = ("state", "endpoint_id", "account", "since", "until")
#: What of a patient's study an upload may be found by.
IDENTIFIERS = ("study_instance_uid", "accession_number")
FILTERS = ("pacs_receipt_id", "upload_id", *IDENTIFIERS, *PLAIN)

#: Uploads that one transaction looks at, and one walk.
AT_ONCE, AT_MOST = 50, 2000
#: Files that are read at once.
_FILES = 500
#: A date without a time.
_DATE_LENGTH = len("2027-01-31")


@dataclass(frozen=True, slots=True)
class UploadFilter:
    """What an upload must be like; an empty filter lets all through."""

    states: tuple[UploadState, ...] = ()
    endpoint_id: str = ""
    account: str = ""  #: its name or its id, as asked for
    since: float | None = None  #: made then or later, unix seconds
    until: float | None = None  #: made before
    pacs_receipt_id: str = ""
    upload_id: str = ""
    study_instance_uid: str = ""
    accession_number: str = ""

    @classmethod
    def read(cls, given: Mapping[str, str]) -> UploadFilter:
        """From filters by name. :raises Unprocessable: `invalid_field`."""
        return cls(
            states=tuple(_state(name.strip()) for name in given.get("state", "").split(",") if name.strip()),
            since=_time("since", given.get("since", "")),
            until=_time("until", given.get("until", "")),
            **{
                name: given.get(name, "").strip()
                for name in ("endpoint_id", "account", "pacs_receipt_id", "upload_id", *IDENTIFIERS)
            },
        )

    @property
    def identifiers(self) -> dict[str, str]:
        """What is asked for of a patient's study."""
        asked = {"study_instance_uid": self.study_instance_uid, "accession_number": self.accession_number}
        return {name: value for name, value in asked.items() if value}


class UploadSearch:
    """Finds uploads."""

    def __init__(self, ledger: Ledger, ring: KeyRing, records: Views, *, read_facts: ReadFacts) -> None:
        self._ledger = ledger
        self._ring = ring
        self._records = records
        self._read_facts = read_facts

    async def page(
        self, wanted: UploadFilter, owner_id: str, after: str, limit: int
    ) -> tuple[list[UploadRow], str | None]:
        """Uploads behind `after`, by upload_id, and where to go on; None: those were all.

        :param owner_id: account that opened them; empty: anybody.
        """
        found: list[UploadRow] = []
        looked = 0
        while looked < AT_MOST:
            rows, fitting = await self._ledger.read(lambda tx, after=after: self._some(tx, wanted, owner_id, after))  # type: ignore[misc]  # mypy#12557
            looked += len(rows)
            for row in fitting:
                found.append(row)
                if len(found) == limit:
                    return found, row.upload_id
            if len(rows) < AT_ONCE:
                return found, None
            after = rows[-1].upload_id
        return found, after

    def _some(
        self, tx: Transaction, wanted: UploadFilter, owner_id: str, after: str
    ) -> tuple[list[UploadRow], list[UploadRow]]:
        """The next candidates, and which of them fit."""
        rows = _candidates(tx, wanted, after)
        plain = [row for row in rows if _fits(row, wanted, owner_id) and _goes_to(tx, row, wanted.endpoint_id)]
        asked = wanted.identifiers
        return rows, [row for row in plain if all(self._says(tx, row, name, asked[name]) for name in asked)]

    def _says(self, tx: Transaction, row: UploadRow, name: str, value: str) -> bool:
        """Whether its declaration, its outcome or one of its files has that value."""
        if any(study.get(name) == value for study in self._records.studies(row)):
            return True
        key = upload_key(tx, self._ring, row)
        if key is None:
            return False
        if row.meta_sealed is not None:
            declared = key.meta.open_json(row.meta_sealed, context=Column.UPLOAD_META.of(row.upload_id))
            if str((declared.get("study_metadata") or {}).get(name, "")).strip() == value:
                return True
        after = ""
        while files := tx.files.page(row.upload_id, after=after, limit=_FILES):
            after = files[-1].file_id
            for file in files:
                if file.facts_sealed is not None:
                    facts = self._read_facts(key, file.file_id, file.facts_sealed)
                    if facts.get(name, "").strip() == value:
                        return True
        return False


def _candidates(tx: Transaction, wanted: UploadFilter, after: str) -> list[UploadRow]:
    if not (wanted.upload_id or wanted.pacs_receipt_id):
        return tx.uploads.page(states=wanted.states, after=after, limit=AT_ONCE)
    upload_id = wanted.upload_id
    if wanted.pacs_receipt_id:
        receipt = tx.receipts.get(wanted.pacs_receipt_id)
        if receipt is None or upload_id not in ("", receipt.upload_id):
            return []
        upload_id = receipt.upload_id
    row = tx.uploads.get(upload_id)
    return [row] if row is not None and row.upload_id > after else []


def _fits(row: UploadRow, wanted: UploadFilter, owner_id: str) -> bool:
    return (
        (not wanted.states or row.state in wanted.states)
        and owner_id in ("", row.owner_id)
        and (wanted.since is None or row.created_at >= wanted.since)
        and (wanted.until is None or row.created_at < wanted.until)
    )


def _goes_to(tx: Transaction, row: UploadRow, endpoint_id: str) -> bool:
    """:param endpoint_id: empty: anywhere."""
    if endpoint_id in ("", row.endpoint_id):
        return True
    return tx.deliveries.get(row.upload_id, endpoint_id) is not None


def _state(name: str) -> UploadState:
    try:
        return UploadState(name)
    except ValueError:
        raise Unprocessable(
            f"state must be one of {', '.join(UploadState)}", code="invalid_field", field="state"
        ) from None


def _time(field: str, text: str) -> float | None:
    """Unix seconds of RFC 3339; a date is its first moment in UTC."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None and len(text) == _DATE_LENGTH:
            at = at.replace(tzinfo=UTC)
        if at.tzinfo is None:
            raise ValueError("no offset")
        return at.timestamp()
    except (ValueError, OverflowError):
        raise Unprocessable(
            f"{field} must be a time as 2027-01-31T12:00:00Z, or a date", code="invalid_field", field=field
        ) from None
