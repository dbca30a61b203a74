"""The check in its child process: what breaks the child costs that child only."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hooks.checks.scanner import scan
from hooks.checks.validate import ChildCheck
from hooks.contract import Accept, CheckBroke, Reject
from tests.dicom_samples import HOSTILE, BytesSource, instance

GOOD = instance()


@pytest.fixture
def check():
    check = ChildCheck(timeout_s=10)
    yield check
    check.close()


def children():
    """Process ids of this process's children that are scanners."""
    me = str(os.getpid())
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == me and b"scanner_child" in command:
                found.append(int(entry.name))
    return found


def test_the_child_judges_as_the_scanner_does(check):
    for name, (data, _, _) in HOSTILE.items():
        assert check.check(BytesSource(data)) == scan(BytesSource(data)), name


def test_the_same_child_judges_one_file_after_another(check):
    check.check(BytesSource(GOOD))
    first = children()
    for _ in range(20):
        assert isinstance(check.check(BytesSource(GOOD)), Accept)
    assert children() == first


def test_strict_reaches_the_child():
    check = ChildCheck(level="strict")
    try:
        assert check.check(BytesSource(instance(patient_id=""))) == Reject("missing_patient_id")
    finally:
        check.close()


def test_a_level_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="standard"):
        ChildCheck(level="lax")


class KillsTheChild(BytesSource):
    """A file whose bytes crash their reader."""

    def __init__(self, data, number):
        super().__init__(data)
        self._number = number

    def read_at(self, offset, size):
        for child in children():
            os.kill(child, self._number)
        return super().read_at(offset, size)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGXCPU, signal.SIGKILL])
def test_a_crash_breaks_this_check_and_the_next_file_gets_a_new_child(check, number):
    with pytest.raises(CheckBroke):
        check.check(KillsTheChild(GOOD, number))
    assert isinstance(check.check(BytesSource(GOOD)), Accept)


def test_a_hang_ends_at_the_time_limit_and_leaves_no_process_behind():
    check = ChildCheck(timeout_s=0.5)
    try:
        check.check(BytesSource(GOOD))
        hung = children()
        began = time.monotonic()
        with pytest.raises(CheckBroke):
            check.check(KillsTheChild(GOOD, signal.SIGSTOP))
        assert time.monotonic() - began < 5
        assert not set(hung) & set(children())
        assert isinstance(check.check(BytesSource(GOOD)), Accept)
    finally:
        check.close()


def test_a_child_that_died_idle_is_no_file_s_fault(check):
    check.check(BytesSource(GOOD))
    [child] = children()
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert isinstance(check.check(BytesSource(GOOD)), Accept)


class DamagedSource(BytesSource):
    def read_at(self, offset, size):
        raise LookupError("frame 0 does not open")


def test_what_the_source_raises_is_passed_on(check):
    with pytest.raises(LookupError, match="frame 0"):
        check.check(DamagedSource(GOOD))
    assert isinstance(check.check(BytesSource(GOOD)), Accept)


def test_the_child_has_limits_and_sees_nothing_of_ours(check, monkeypatch):
    monkeypatch.setenv("RELAYPACS_TOKEN_SECRET", "hush")
    check.check(BytesSource(GOOD))
    [child] = children()
    assert Path(f"/proc/{child}/environ").read_bytes() == b""
    limits = Path(f"/proc/{child}/limits").read_text()
    soft = {line[:25].strip(): line[25:].split()[0] for line in limits.splitlines()[1:]}
    assert soft["Max address space"] == str(512 * 2**20)
    assert soft["Max core file size"] == "0"
    assert soft["Max file size"] == "0"
    assert int(soft["Max open files"]) <= 16
    assert int(soft["Max cpu time"]) <= 15
    targets = [str(fd.readlink()) for fd in Path(f"/proc/{child}/fd").iterdir()]
    assert sorted(target.split(":")[0] for target in targets) == ["/dev/null", "/dev/null", "socket"]


def test_as_many_files_as_workers_are_judged_at_once():
    together = threading.Barrier(3, timeout=10)

    class Waits(BytesSource):
        def read_at(self, offset, size):
            if offset == 0:
                together.wait()
            return super().read_at(offset, size)

    check = ChildCheck(workers=3)
    try:
        with ThreadPoolExecutor(3) as pool:
            verdicts = list(pool.map(lambda _: check.check(Waits(GOOD)), range(3)))
        assert all(isinstance(verdict, Accept) for verdict in verdicts)
    finally:
        check.close()
    assert not children()


def test_more_threads_than_workers_take_turns(check):
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(lambda _: check.check(BytesSource(GOOD)), range(40)))
    assert all(isinstance(verdict, Accept) for verdict in verdicts)
    assert len(children()) == 1
