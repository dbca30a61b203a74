"""The comparisons of docs/performance.md, small: every load runs, and the tables come out as the page wants them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import LOADS
from bench.measure import Tree
from bench.payload import Payload, Series
from bench.report import BEGIN, END, Column, Comparison, write_into
from hooks.checks.scanner import scan
from hooks.contract import Accept
from tests.dicom_samples import BytesSource

REPOSITORY = Path(__file__).resolve().parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--rounds", "1", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timing
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_every_load_runs_and_the_page_takes_its_tables(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(f"Before.\n\n{BEGIN}\n{END}\n\nAfter.\n")
    lines = tmp_path / "runs.jsonl"
    small = ("--stream-mib", "16", "--files", "20", "--slow", "20", "--dir", str(tmp_path))
    ran = bench(*small, "--json", str(lines), "--write", str(page))
    assert ran.returncode == 0, ran.stderr
    runs = {(run["load"], run["server"]): run["median"] for run in map(json.loads, lines.read_text().splitlines())}
    for load in ("stream", "pieces", "study", "cwu", "cwu-dicom"):
        assert runs[load, "gateway"]["cpu_s"] > 0
        assert runs[load, "node + sync"]["mb_s"] < runs[load, "node"]["mb_s"]
    assert runs["slow", "gateway"]["rss_held_mib"] > 0
    assert {server for load, server in runs if load == "delivery"} == {"gateway", "stow:10", "stow:50", "stow:10x1"}
    text = page.read_text()
    assert text.startswith("Before.")
    assert text.endswith("After.\n")
    assert text.count("### ") == len(LOADS)
    assert ran.stdout.strip() in text


def test_a_load_that_there_is_not_is_refused():
    ran = bench("--loads", "stream,everything")
    assert ran.returncode == 2
    assert "no such load" in ran.stderr


def test_a_page_without_a_place_for_tables_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Nothing here.\n")
    with pytest.raises(ValueError, match="no place"):
        write_into(page, "tables")
    assert page.read_text() == "Nothing here.\n"


@pytest.mark.parametrize("size", [4096, 25_000, 512 << 10])
def test_the_instances_it_sends_are_valid_and_of_the_wanted_size(size):
    payload, series = Payload(), Series(size)
    seen = set()
    for number in range(3):
        part = series.instance(number)
        data = part.head + bytes(payload.bytes_at(part.size - len(part.head), part.at))
        assert len(data) == part.size == size
        verdict = scan(BytesSource(data))
        assert isinstance(verdict, Accept), verdict
        assert not verdict.warnings
        assert verdict.facts.study_instance_uid == series.study_uid
        seen.add(verdict.facts.sop_instance_uid)
    assert len(seen) == 3


def test_a_table_shows_medians_the_range_of_the_rate_and_its_ratio():
    comparison = Comparison("x", "X", (Column("rate", "MB/s"), Column("cpu", "CPU s", 1)), "rate", "other")
    for rate in (10.0, 30.0, 20.0):
        comparison.add("ours", {"rate": rate, "cpu": rate / 10})
    comparison.add("other", {"rate": 40.0, "cpu": 1.0})
    assert "| ours | 20 (10 to 30) | 2.0 | 0.50 |" in comparison.table()
    assert [json.loads(line)["server"] for line in comparison.json_lines()] == ["ours", "other"]


def test_the_cost_of_children_counts():
    child = subprocess.Popen(
        [sys.executable, "-c", "import subprocess,sys; subprocess.run([sys.executable,'-c','input()'])"],
        stdin=subprocess.PIPE,
    )
    tree = Tree(child.pid)
    try:
        while len(tree.pids()) < 2:
            assert child.poll() is None
        assert tree.rss_mib() > 0
        assert tree.cpu().total_s >= 0
    finally:
        child.communicate(b"\n", timeout=30)
