"""docs/metrics.md, the alert rules and the dashboard against the instruments that there are."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from gateway.telling.metrics import Metrics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
RULES = ROOT / "config" / "prometheus.rules.yml"
RULE_TESTS = Path(__file__).with_name("prometheus.rules.test.yml")
DASHBOARD = json.loads((ROOT / "config" / "grafana.dashboard.json").read_text(encoding="utf-8"))
ENDS = {"counter": "_total", "info": "_info"}
#: Series that a family has beside its own name.
PARTS = ("_bucket", "_sum", "_count")


def families() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name -> kind and labels, of every instrument."""
    metrics = Metrics("1", ["main"])
    known = map(vars, metrics.registry._names_to_collectors.values())
    labels = {one["_name"]: tuple(one["_labelnames"]) for one in known if "_labelnames" in one}
    found = {}
    for family in metrics.registry.collect():
        of = ("version",) if family.type == "info" else labels.get(family.name, ())
        found[family.name + ENDS.get(family.type, "")] = (family.type, of)
    return found


def test_every_name_is_on_the_page_with_its_kind_and_labels():
    rows = re.findall(r"^\| `(relaypacs_\w+)` \| (\w+) \|([^|]*)\|", PAGE, re.MULTILINE)
    listed = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert len(listed) == len(rows)
    assert listed == {name: what for name, what in families().items() if name.startswith("relaypacs_")}
    for name in families():
        assert f"`{name}`" in PAGE


def alerts() -> list[str]:
    return re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8"))


def test_every_alert_is_on_the_page():
    section = PAGE.split("## Alerts")[1]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == alerts()


def named(query: str) -> set[str]:
    return set(re.findall(r"\b(?:relaypacs|process)_\w+", re.sub(r'job="relaypacs"', "", query)))


@pytest.mark.parametrize(
    "query",
    [
        *re.findall(r"expr: (.+)", RULES.read_text(encoding="utf-8")),
        *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
    ],
)
def test_a_query_asks_for_what_there_is(query):
    there = set(families()) | {
        name + part for name, (kind, _) in families().items() if kind == "histogram" for part in PARTS
    }
    assert named(query) <= there


def test_promtool_accepts_the_rules_and_each_alert_fires_when_it_should():
    tests = RULE_TESTS.read_text(encoding="utf-8")
    assert set(re.findall(r"alertname: (\w+)", tests)) == set(alerts()), "each has a test"
    for words in (["check", "rules", str(RULES)], ["test", "rules", str(RULE_TESTS)]):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_example_and_the_metrics():
    example = ROOT / "config" / "prometheus.example.yml"
    checked = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", str(example)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    text, content_type = Metrics("1", ["main"]).text("")
    assert content_type.startswith("text/plain; version=0.0.4")
    linted = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (linted.returncode, linted.stderr) == (0, b""), linted.stderr.decode()


def test_no_label_could_hold_a_name():
    labels = {label for _, of in families().values() for label in of}
    assert labels == {
        *("version", "route", "method", "status", "code", "limit", "result", "event", "endpoint", "reason", "state"),
        *("outcome", "condition", "channel"),
    }
