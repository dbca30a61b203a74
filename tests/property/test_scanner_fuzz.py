"""The scanner under damaged files: always a verdict with a documented code, soon, and the same in its child process.

`fuzzed` damages files at random, each by a seed of its own that a failure names; hypothesis looks for what is worse;
in a soak atheris goes by coverage, too.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from hooks.checks.scanner import scan
from hooks.checks.validate import ChildCheck
from hooks.contract import Accept, Verdict
from tests.dicom_samples import (
    DEFLATED,
    EXPLICIT_BE,
    EXPLICIT_LE,
    HOSTILE,
    IMPLICIT_LE,
    ITEM,
    JPEG_BASELINE,
    SEQUENCE_END,
    UNDEFINED,
    BytesSource,
    element,
    header,
    instance,
    nested,
    sequence,
)
from tests.scale import SOAK, count
from tests.unit.hooks.checks.test_validation_docs import documented_codes

FILES = count(10_000, 1_000_000)
BATCHES = count(4, 40)
CHILD_FILES = count(600, 20_000)
#: Of the processor, for a file of a few kilobytes: the gateway's limit is 20 s.
LIMIT_S = 1.0

CODES = frozenset(documented_codes())
SEEDS = [
    *(instance(transfer_syntax_uid=syntax) for syntax in (IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED)),
    instance(transfer_syntax_uid=JPEG_BASELINE, frames=3),
    instance(extra=sequence(0x00081140, [element(0x00081155, "UI", "1.2.3")] * 3)),
    instance(transfer_syntax_uid=IMPLICIT_LE, extra=nested(9, syntax=IMPLICIT_LE, known_length=True)),
    instance(transfer_syntax_uid=EXPLICIT_BE, extra=nested(9, syntax=EXPLICIT_BE)),
    *(data for data, kind, _ in HOSTILE.values() if kind != "Skip" and 132 < len(data) < 6000),
]
LENGTHS = (0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
BRICKS = (
    ITEM + struct.pack("<I", UNDEFINED),
    ITEM + bytes(4),
    SEQUENCE_END + bytes(4),
    b"\xfe\xff\x0d\xe0" + bytes(4),
    header(0x00081140, "SQ", UNDEFINED),
    header(0x00291001, "UN", UNDEFINED),
    header(0x00291001, "UN", 64) + ITEM + struct.pack("<I", 56),
    header(0x7FE00010, "OB", UNDEFINED),
    element(0x00100020, "LO", "ANOTHER"),
    element(0x00080005, "CS", "\\ISO 2022 IR 87\\ISO 2022 IR 149"),
    nested(33),
    b"DICM",
)


def fuzzed(seed: str) -> bytes:
    """A file with one to six injuries; the same for the same seed."""
    chance = random.Random(seed)
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(1, 6)):
        if len(data) < 8:
            break
        at = (
            chance.randrange(len(data))
            if chance.random() < 0.3
            else chance.randrange(min(100, len(data) - 1), len(data))
        )
        match chance.randrange(8):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.randrange(256)
            case 2:
                data[at : at + 4] = struct.pack(chance.choice("<>") + "I", chance.choice(LENGTHS))
            case 3:
                del data[at : at + chance.randint(1, 64)]
            case 4:
                data[at:at] = chance.choice(BRICKS) * chance.choice((1, 1, 1, 40))
            case 5:
                data[at : at + 2] = chance.choice((b"SQ", b"UN", b"OB", b"UI", b"UT", b"LO", b"??", b"\0\0", b"ZZ"))
            case 6:
                other = chance.choice(SEEDS)
                start = chance.randrange(len(other))
                data[at:at] = other[start : start + chance.randint(1, 400)]
            case _:
                del data[at:]
    return bytes(data)


def sound(verdict: Verdict) -> bool:
    """It is a verdict, and says nothing that isn't documented."""
    if isinstance(verdict, Accept):
        facts = verdict.facts
        uids = (facts.sop_class_uid, facts.sop_instance_uid, facts.study_instance_uid, facts.series_instance_uid)
        return CODES.issuperset(verdict.warnings) and all(uid and len(uid) <= 64 for uid in uids)
    return verdict.code in CODES


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_damaged_file_gets_a_verdict_in_time(batch: int):
    slowest_s = 0.0
    for number in range(FILES // BATCHES):
        seed = f"{batch}:{number}"
        data = fuzzed(seed)
        source = BytesSource(data)
        began = time.process_time()
        verdict = scan(source)
        slowest_s = max(slowest_s, time.process_time() - began)
        assert sound(verdict), f"fuzzed({seed!r}): {verdict!r}"
        assert slowest_s < LIMIT_S, f"fuzzed({seed!r}) took {slowest_s:.1f} s"
        assert source.read_bytes <= 2 * len(data) + 2 * 65536, f"fuzzed({seed!r}) was read more than twice"


def test_the_child_says_the_same_breaks_on_none_and_keeps_nobody_waiting():
    seeds = [f"child:{number}" for number in range(CHILD_FILES)]
    check = ChildCheck(workers=2, timeout_s=LIMIT_S + 4)  # a fresh one is started in this time, too
    good = instance()
    took_s: list[float] = []

    def judged(seed: str) -> Verdict:
        began = time.monotonic()
        verdict = check.check(BytesSource(fuzzed(seed)))
        took_s.append(time.monotonic() - began)
        return verdict

    try:
        with ThreadPoolExecutor(2) as pool:
            verdicts = list(pool.map(judged, seeds))
        assert verdicts == [scan(BytesSource(fuzzed(seed))) for seed in seeds]
        assert isinstance(check.check(BytesSource(good)), Accept)
    finally:
        check.close()
    assert sorted(took_s)[len(took_s) // 2] < 0.1


@settings(max_examples=count(500, 50_000), deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(st.integers(0, 6000), st.sampled_from([*BRICKS, *(struct.pack("<I", n) for n in LENGTHS)])),
        max_size=5,
    ),
    st.binary(max_size=64),
    st.integers(0, 200),
)
def test_what_hypothesis_builds_gets_a_verdict(
    seed: bytes, bricks: list[tuple[int, bytes]], noise: bytes, missing: int
):
    data = bytearray(seed)
    for at, brick in bricks:
        data[at % len(data) : at % len(data)] = brick
    data += noise
    data = data[: len(data) - missing] if missing < len(data) else data
    source = BytesSource(bytes(data))
    began = time.process_time()
    assert sound(scan(source, "strict"))
    assert sound(scan(source))
    took_s = time.process_time() - began
    target(took_s)
    assert took_s < 2 * LIMIT_S


# -- by coverage

SECONDS = 10 * 60
ATHERIS = """
import sys
sys.path.append({root!r})
import atheris
with atheris.instrument_imports(include=["hooks"]):
    from hooks import charset, dicom_reader, scanner
from tests.dicom_samples import BytesSource
from tests.property.test_scanner_fuzz import sound

def one(data):
    assert sound(scanner.scan(BytesSource(data)))

atheris.Setup([sys.argv[0], *sys.argv[1:]], one)
atheris.Fuzz()
"""


if SOAK:  # in a test of every day it has no time to find anything

    def test_what_atheris_finds_by_coverage_gets_a_verdict(tmp_path: Path):
        """atheris comes from PyPI into a folder of this test: nothing else needs it."""
        lib, corpus, script = tmp_path / "lib", tmp_path / "corpus", tmp_path / "fuzz.py"
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--target", str(lib)]
        subprocess.run([*pip, "atheris"], check=True, timeout=300)
        corpus.mkdir()
        for number, seed in enumerate(SEEDS):
            (corpus / str(number)).write_bytes(seed)
        root = Path(__file__).parents[2]
        script.write_text(ATHERIS.format(root=str(root)))
        limits = [f"-max_total_time={SECONDS}", "-timeout=2", "-rss_limit_mb=1024", "-max_len=8192", "-verbosity=0"]
        done = subprocess.run(
            [sys.executable, str(script), *limits, f"-artifact_prefix={tmp_path}/", str(corpus)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": f"{lib}:{root}"},
            capture_output=True,
            text=True,
            timeout=SECONDS + 300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
