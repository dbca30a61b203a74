"""docs/words.md: every word that it has is in the code, and the core nouns of the code are in it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from gateway.ledger import rows
from hooks import contract

PAGE = Path(__file__).parents[2] / "docs" / "words.md"
ROWS = re.findall(r"^\| ([^|]+?) \| [^|]+ \| `([\w.]+)` \| [^|]+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
#: Rows of the ledger that are standards' words or plain English: nobody looks them up.
PLAIN = {"AccountRow", "AuditRow", "DeliveredRow", "IdempotencyRow", "QrRow", "RefreshTokenRow", "ServiceKeyRow"}


def found(dotted: str) -> object:
    """A module, or a name in one."""
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError:
        module, _, name = dotted.rpartition(".")
        return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("word", "place"), ROWS)
def test_a_word_is_in_the_code(word, place):
    assert found(place) is not None


def test_no_word_is_there_twice():
    words = [word for word, _ in ROWS]
    assert len(words) > 30
    assert sorted(set(words)) == sorted(words)


def test_every_kind_of_row_and_both_contracts_of_a_hook_have_their_word():
    places = {place for _, place in ROWS}
    nouns = {f"gateway.ledger.rows.{name}" for name in vars(rows) if name.endswith("Row") and name not in PLAIN}
    nouns |= {f"hooks.contract.{name}" for name in ("Check", "Target", "Instance")}
    assert hasattr(contract, "Check")
    assert not nouns - places
