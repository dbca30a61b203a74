"""Several files judged while whoever asked does something else."""

from __future__ import annotations

import os
import signal
import time

import pytest

from hooks.checks import validate
from hooks.checks.scanner import scan
from hooks.checks.validate import ChildCheck
from hooks.contract import Accept
from tests.dicom_samples import HOSTILE, BytesSource, instance
from tests.unit.hooks.checks.test_validate import children

GOOD = instance()


@pytest.fixture
def check(monkeypatch):
    monkeypatch.setattr(validate, "BESIDE_S", 10.0)  # a busy machine is no fault of the child's
    check = ChildCheck(timeout_s=10)
    yield check
    check.close()


def test_files_that_are_asked_about_together_are_judged_as_the_scanner_does(check):
    samples = [data for data, _, _ in HOSTILE.values()]
    check.check(BytesSource(GOOD))
    for start in range(0, len(samples), 20):
        some = samples[start : start + 20]
        found = check.begin([BytesSource(data) for data in some]).verdicts()
        assert found == [scan(BytesSource(data)) for data in some]


def test_what_the_child_asks_for_meanwhile_it_gets_of_the_file_in_hand(check):
    """Each of these is read beyond what came with the question."""
    check.check(BytesSource(GOOD))
    zeros = [b"\0" * (70_000 + number) + b"x" for number in range(5)]
    assert check.begin([BytesSource(data) for data in zeros]).verdicts() == [scan(BytesSource(data)) for data in zeros]


def test_the_first_file_of_a_child_is_waited_for_by_whoever_has_nothing_else_to_do(check):
    assert check.begin([BytesSource(GOOD)]) is None
    assert not children()
    check.check(BytesSource(GOOD))
    assert isinstance(check.begin([BytesSource(GOOD)]).verdicts()[0], Accept)


def test_a_child_that_is_busy_is_not_waited_for(check):
    check.check(BytesSource(GOOD))
    begun = check.begin([BytesSource(GOOD)])
    assert check.begin([BytesSource(GOOD)]) is None
    begun.verdicts()
    assert check.begin([BytesSource(GOOD)]) is not None


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_leaves_files_without_a_verdict_and_the_next_get_a_new_child(check, number):
    check.check(BytesSource(GOOD))
    (child,) = children()
    os.kill(child, signal.SIGSTOP)
    begun = check.begin([BytesSource(GOOD), BytesSource(GOOD)])
    os.kill(child, number)
    os.kill(child, signal.SIGCONT)
    assert begun.verdicts() == [None, None]
    assert isinstance(check.check(BytesSource(GOOD)), Accept)


def test_a_hang_is_waited_for_briefly_and_then_nobody_asks_in_this_way_for_a_while(check, monkeypatch):
    check.check(BytesSource(GOOD))
    (child,) = children()
    os.kill(child, signal.SIGSTOP)
    monkeypatch.setattr(validate, "BESIDE_S", 0.1)
    began = time.monotonic()
    assert check.begin([BytesSource(GOOD)]).verdicts() == [None]
    assert time.monotonic() - began < 5
    assert child not in children()
    assert isinstance(check.check(BytesSource(GOOD)), Accept)
    assert check.begin([BytesSource(GOOD)]) is None
    check._paused_until = 0.0
    assert check.begin([BytesSource(GOOD)]) is not None


class Unreadable:
    """Its storage fails."""

    size_bytes = 70_000

    def __init__(self, readable_bytes: int) -> None:
        self._readable_bytes = readable_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        if offset + size > self._readable_bytes:
            raise OSError(5, "Input/output error")
        return bytes(size)

    def close(self) -> None:
        """Nothing is open."""


def test_a_file_that_cannot_be_read_costs_nobody_the_child(check):
    check.check(BytesSource(GOOD))
    with pytest.raises(OSError, match="Input/output"):
        check.begin([Unreadable(0)])
    begun = check.begin([Unreadable(20_000)])
    with pytest.raises(OSError, match="Input/output"):
        begun.verdicts()
    assert isinstance(check.check(BytesSource(GOOD)), Accept)
