from __future__ import annotations

import hashlib

from gateway.spool import KnownDigests, RunningDigest

FILE = "ab" * 16


def seen(*pieces: bytes) -> RunningDigest:
    digest = RunningDigest()
    for piece in pieces:
        digest.update(piece)
    return digest


def test_a_state_goes_on_from_the_offset_that_was_committed() -> None:
    known = KnownDigests()
    known.commit(FILE, 3, seen(b"one"))
    further = known.resume(FILE, 3)
    assert further is not None
    further.update(b"two")
    assert known.of(FILE, 6) is None  # not committed
    known.commit(FILE, 6, further)
    assert known.of(FILE, 6) == hashlib.sha256(b"onetwo").hexdigest()


def test_a_state_of_another_offset_says_nothing() -> None:
    known = KnownDigests()
    known.commit(FILE, 3, seen(b"one"))
    known.commit(FILE, 6, seen(b"onetwothree"))  # it saw more than was committed
    assert known.resume(FILE, 6) is known.resume(FILE, 11) is known.resume(FILE, 3) is None
    known.commit(FILE, 6, None)
    assert known.of(FILE, 6) is None


def test_a_commit_that_changed_nothing_takes_nothing_away() -> None:
    known = KnownDigests()
    known.commit(FILE, 3, seen(b"one"))
    known.commit(FILE, 3, None)
    assert known.of(FILE, 3) == hashlib.sha256(b"one").hexdigest()


def test_whoever_goes_on_has_a_state_of_its_own() -> None:
    known = KnownDigests()
    known.commit(FILE, 3, seen(b"one"))
    first, second = known.resume(FILE, 3), known.resume(FILE, 3)
    assert first is not None and second is not None
    first.update(b"refused")
    second.update(b"two")
    known.commit(FILE, 6, second)
    assert known.of(FILE, 6) == hashlib.sha256(b"onetwo").hexdigest()


def test_the_oldest_states_are_forgotten() -> None:
    known = KnownDigests(kept=2)
    for number in range(3):
        known.commit(f"{number}", 3, seen(b"one"))
    assert [known.of(f"{number}", 3) is None for number in range(3)] == [True, False, False]
    known.forget("2")
    assert known.of("2", 3) is None
