"""docs/troubleshooting.md has what the log says: every warning and error of the code, and every code of the operator's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import errors
from gateway.web.errors import status_of

ROOT = Path(__file__).parents[2]
PAGE = " ".join((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").split())


def classes(root: type[errors.GatewayError] = errors.GatewayError) -> list[type[errors.GatewayError]]:
    ours = [sub for sub in root.__subclasses__() if sub.__module__ == errors.__name__]
    return [root, *(found for sub in ours for found in classes(sub))]


#: Codes of what the gateway couldn't do: nobody but the operator mends those.
OPERATORS = sorted({
    code for one in classes() if status_of(one("")) >= 500 and one is not errors.NotBuilt for code in one.codes
})  # fmt: skip


def said() -> Iterator[str]:
    """How each line of the log above `info` begins: its words as far as they are the code's own."""
    for path in [*(ROOT / "gateway").rglob("*.py"), *(ROOT / "hooks").rglob("*.py")]:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in {"warning", "error", "exception", "critical"}
                and isinstance(call.func.value, ast.Name)
                and call.func.value.id == "log"
                and isinstance(call.args[0], ast.Constant)
            ):
                words = re.split(r"%|\b[a-z_]+=|[:(]", str(call.args[0].value))[0].strip()
                if words:
                    yield words


@pytest.mark.parametrize("code", OPERATORS)
def test_every_code_that_only_an_operator_can_mend_is_there(code: str) -> None:
    assert re.search(rf"\b{code}\b", PAGE), f"{code} is not in docs/troubleshooting.md"


@pytest.mark.parametrize("words", sorted(set(said())))
def test_every_warning_and_error_of_the_log_is_there(words: str) -> None:
    first = " ".join(words.split()[:6])
    assert first in PAGE, f"docs/troubleshooting.md doesn't have: {words}"


def test_every_code_on_the_page_exists() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for name in ("gateway", "hooks") for path in (ROOT / name).rglob("*.py")
    )
    for code in set(re.findall(r"\bcode=([a-z_]+)", PAGE)) - {"account_id"}:
        assert f'"{code}"' in source, f"there is no code {code}"
