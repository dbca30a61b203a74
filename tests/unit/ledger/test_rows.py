"""Rows as values."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gateway.ledger import rows
from gateway.ledger.rows import replace
from tests.ledger_rows import account_row

KINDS = [kind for kind in vars(rows).values() if dataclasses.is_dataclass(kind) and isinstance(kind, type)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_row_is_replaced_as_python_does_it_whichever_field_changes(kind):
    names = [field.name for field in dataclasses.fields(kind)]
    row = kind(*names)
    for name in names:
        assert replace(row, **{name: 7}) == dataclasses.replace(row, **{name: 7})
    assert replace(row) == row
    assert replace(row) is not row


def test_a_field_that_is_not_there_is_no_change():
    changes: Any = {"fild_id": "x"}
    with pytest.raises(KeyError):
        replace(account_row("a"), **changes)
