"""Random bytes drawn many at a time are given out once, whoever asks."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from gateway.spool.fresh import fresh_bytes, fresh_hex


def test_many_threads_get_different_bytes() -> None:
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(fresh_bytes, [12] * 20_000, chunksize=50))
    assert {len(one) for one in drawn} == {12}
    assert len(set(drawn)) == len(drawn)


def test_a_fork_is_given_other_bytes_than_its_parent() -> None:
    fresh_bytes(1)  # some are drawn and not yet given out
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, fresh_bytes(16))
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    assert os.read(reading, 16) != fresh_bytes(16)
    os.close(reading)
    os.close(writing)


def test_more_than_is_drawn_at_once_is_given_too() -> None:
    assert len(fresh_bytes(100_000)) == 100_000
    assert len(set(fresh_hex(4))) > 1
