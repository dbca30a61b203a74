"""Transactions of storage commitment (PS3.4 annex J, PS3.18 chapter 13): which are waited for, and what was answered.

However an answer comes, it says the same in the same attributes. Answers are kept in memory: after a restart the
question is asked again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hooks.contract import Commitment
from hooks.targets.qido import text
from hooks.targets.stow_response import (
    FAILED_SOP_SEQUENCE,
    FAILURE_REASON,
    REFERENCED_SOP_INSTANCE_UID,
    REFERENCED_SOP_SEQUENCE,
    number,
    values,
)

TRANSACTION_UID = "00081195"
#: Transactions that are remembered; the oldest gives way, and is asked for again.
MOST_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Report:
    """What a PACS says of a request; `transaction_uid` is empty where it doesn't say of which."""

    transaction_uid: str
    commitment: Commitment


def report_in(data_set: Mapping[str, Any]) -> Report:
    """:param data_set: in the form of DICOM JSON (PS3.18 annex F). Who is called both is failed."""
    failed = {_instance(item): number(item, FAILURE_REASON) for item in _items(data_set, FAILED_SOP_SEQUENCE)}
    committed = {_instance(item) for item in _items(data_set, REFERENCED_SOP_SEQUENCE)}
    commitment = Commitment(frozenset(committed - failed.keys() - {""}), failed)
    return Report(text(data_set, TRANSACTION_UID), commitment)


def _items(data_set: Mapping[str, Any], tag: str) -> list[Mapping[str, Any]]:
    return [item for item in values(data_set, tag) if isinstance(item, dict)]


def _instance(item: Mapping[str, Any]) -> str:
    return text(item, REFERENCED_SOP_INSTANCE_UID)


class Transactions:
    """Those of one PACS that are waited for. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Commitment | None] = OrderedDict()
        self._lost: set[str] = set()

    def expect(self, transaction_uid: str) -> None:
        """From now on an answer to it is kept."""
        with self._lock:
            self._known.setdefault(transaction_uid, None)
            while len(self._known) > MOST_KEPT:
                self._lost.discard(self._known.popitem(last=False)[0])

    def lose(self, transaction_uid: str) -> None:
        """It is known, and nobody will answer it."""
        self.expect(transaction_uid)
        with self._lock:
            self._lost.add(transaction_uid)

    def is_awaited(self, transaction_uid: str) -> bool:
        """It was asked for since this process began."""
        with self._lock:
            return transaction_uid in self._known

    def is_lost(self, transaction_uid: str) -> bool:
        """See `lose`."""
        with self._lock:
            return transaction_uid in self._lost

    def arrived(self, transaction_uid: str, commitment: Commitment) -> bool:
        """Keep it. False: nobody waits for it."""
        with self._lock:
            if transaction_uid not in self._known:
                return False
            self._known[transaction_uid] = commitment
            return True

    def of(self, transaction_uid: str) -> Commitment | None:
        """None: not yet."""
        with self._lock:
            return self._known.get(transaction_uid)

    def forget(self, transaction_uid: str) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            self._known.pop(transaction_uid, None)
            self._lost.discard(transaction_uid)
