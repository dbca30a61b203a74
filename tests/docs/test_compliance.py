"""docs/compliance.md against the tests that there are; that they ran and passed is looked at when a full run ends."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.compliance import missing, named, rows

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "compliance.md"
APART = {"heavy", "timing", "skip", "skipif", "xfail"}

MISSION = [
    "no long-term patient data", "automatic deletion", "HTTPS only", "token authentication", "short-lived tokens",
    "upload logs without image data", "timestamps", "the right to deletion, by itself", "no secondary use",
]  # fmt: skip
HIPAA = [
    "(a)(1)", "(a)(2)(i)", "(a)(2)(ii)", "(a)(2)(iii)", "(a)(2)(iv)", "(b)", "(c)(1)", "(c)(2)", "(d)", "(e)(1)",
    "(e)(2)(i)",
]  # fmt: skip
GDPR = ["5(1)(b)", "5(1)(c)", "5(1)(e)", "5(1)(f)", "5(2)", "15", "17", "25", "30", "32", "33"]


def requirements(section: str) -> list[str]:
    return [row.requirement for row in rows(PAGE) if row.section.startswith(section)]


def test_each_line_of_the_mission_and_each_clause_has_its_row():
    assert requirements("The mission") == MISSION
    assert [one.split()[0] for one in requirements("HIPAA")] == HIPAA
    assert [one.split()[0] for one in requirements("GDPR")] == GDPR


@pytest.mark.parametrize("row", rows(PAGE), ids=lambda row: row.requirement)
def test_a_requirement_has_a_control_and_tests(row):
    assert row.control
    assert row.tests


@pytest.mark.parametrize("test", sorted(named(PAGE)))
def test_a_test_that_is_named_exists_and_runs_in_every_full_run(test):
    path, *names = test.split("::")
    tree: ast.AST = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    marks = {node.attr for node in ast.walk(ast.Module(_top(tree), [])) if isinstance(node, ast.Attribute)}
    for name in names:
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        found = [node for node in ast.iter_child_nodes(tree) if isinstance(node, kinds) and node.name == name]
        assert found, f"{test} is not there"
        tree = found[0]
        marks |= {
            node.attr for one in found[0].decorator_list for node in ast.walk(one) if isinstance(node, ast.Attribute)
        }
    assert not marks & APART, f"{test} does not run in every full run"


def _top(tree: ast.AST) -> list[ast.stmt]:
    """The module's `pytestmark`."""
    assert isinstance(tree, ast.Module)
    return [
        node
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(to, ast.Name) and to.id == "pytestmark" for to in node.targets)
    ]


def test_what_did_not_pass_is_told():
    assert missing({"a.py::x", "a.py::y"}, {"a.py::y"}) == ["a.py::x"]
