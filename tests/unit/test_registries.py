"""Names that are stored stand in one place each: a mistyped one can't be written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from gateway.keys.columns import Column
from gateway.ledger.settings import Setting

ROOT = Path(__file__).parents[2]
#: Keys are wrapped there, for owners that are no columns.
WRAPPING = {"gateway/spool/keys.py"}


def calls(*names: str) -> Iterator[tuple[str, ast.Call]]:
    """Calls of methods of these names, and where they stand."""
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_what_is_sealed_is_sealed_for_a_column_of_the_registry():
    seen = 0
    for place, call in calls("seal", "open", "seal_json", "open_json", "seal_sources", "open_sources"):
        context = next((word.value for word in call.keywords if word.arg == "context"), None)
        if context is None or place.partition(":")[0] in WRAPPING:
            continue
        seen += 1
        assert isinstance(context, ast.Call), place
        assert isinstance(context.func, ast.Attribute), place
        assert context.func.attr == "of", f"{place}: gateway/keys/columns.py has the contexts"
    assert seen > len(Column)


def test_settings_of_the_ledger_are_named_by_the_registry():
    seen = 0
    for place, call in calls("get", "put"):
        assert isinstance(call.func, ast.Attribute)
        if not ast.unparse(call.func.value).endswith("settings") or place.startswith("gateway/ledger/"):
            continue
        seen += 1
        assert ast.unparse(call.args[0]).startswith("Setting."), f"{place}: gateway/ledger/settings.py has the names"
    assert seen >= len(Setting) - 1
