"""The vocabulary of errors: its tree is the one that its page shows, and no code is there that nobody raises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from gateway import errors

ROOT = Path(__file__).parents[2]
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.GatewayError)
}
#: Codes of the contract that wait for what will raise them.
WAITING = {
    "idempotency_in_progress": "several gateways: the same key at two of them at one time",
    "bad_request": "the root of the refusals: a class of its own says more",
    "config_error": "every ConfigError has this one",
}


def made() -> Iterator[tuple[str, str]]:
    """Class and code of every error that is made in the product."""
    for package in ("gateway", "hooks"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in CLASSES:
                    codes = [word.value for word in node.keywords if word.arg == "code"]
                    yield from _codes(name, codes[0] if codes else None)


def _codes(name: str, said: ast.expr | None) -> Iterator[tuple[str, str]]:
    if said is None:
        yield name, CLASSES[name].codes[0]
    else:  # a literal, or one of several in an expression
        for part in ast.walk(said):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield name, part.value


def test_the_tree_shows_every_class_below_its_parent():
    assert errors.__doc__ is not None
    shown, parents = {}, ["GatewayError"]
    for indent, name in re.findall(r"^([│├└─ ]+)(\w+) ", errors.__doc__, re.MULTILINE):
        depth = len(indent) // 4
        parents[depth:] = [name]
        shown[name] = parents[depth - 1]
    assert shown == {name: value.__mro__[1].__name__ for name, value in CLASSES.items() if name != "GatewayError"}


def test_every_code_is_raised_or_says_what_it_waits_for():
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    raised = {code for _, code in made()}
    for name, value in CLASSES.items():
        for code in value.codes:
            by_name = text.count(f'"{code}"') > 1  # handed on as a parameter
            assert code in raised or by_name or code in WAITING, f"{name} has {code}, and nobody raises it"


def test_nothing_waits_that_is_raised():
    raised = {code for _, code in made()}
    assert not (set(WAITING) - {"config_error"}) & raised


def test_a_code_belongs_to_one_class():
    codes = [code for value in CLASSES.values() if "codes" in vars(value) for code in value.codes]
    assert sorted(set(codes)) == sorted(codes)
