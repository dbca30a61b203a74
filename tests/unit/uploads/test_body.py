from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.uploads import body as body_module
from gateway.uploads.body import (
    GATHER_BYTES,
    SMALL_GATHER_BYTES,
    BodyAccount,
    BodyBroken,
    BodyStopped,
    Buffered,
    Gatherer,
    clip,
)


class Script:
    """A body that says what it is told to: bytes, a pause in seconds, or an error. Then it ends."""

    def __init__(self, *acts: bytes | float | Exception) -> None:
        self._acts = list(acts)
        self.fast = 0

    size: int | None = None

    async def read(self, wait_s: float) -> bytes | None:
        if not self._acts:
            return b""
        act = self._acts[0]
        if isinstance(act, float):
            if act > wait_s:
                self._acts[0] = act - wait_s
                await asyncio.sleep(wait_s)
                return None
            await asyncio.sleep(act)
            self._acts.pop(0)
            return await self.read(wait_s - act)
        self._acts.pop(0)
        if isinstance(act, Exception):
            raise act
        return act

    def went_fast(self) -> None:
        self.fast += 1

    def stop(self) -> None:
        self._acts = [BodyStopped()]


def gatherer(body: Script, idle_timeout_s: float = 60.0, limit_bytes: int = 1 << 30) -> Gatherer:
    return Gatherer(body, Buffered(limit_bytes), idle_timeout_s, lambda: None)


async def all_of(gatherer: Gatherer, room: int = 1 << 30) -> list[bytes]:
    """Every batch until the end."""
    batches = []
    while not gatherer.ended:
        batches.append(b"".join(await gatherer.batch(room)))
    return batches


async def test_small_pieces_are_gathered_to_the_end():
    one = gatherer(Script(b"a", b"b", b"c"))
    assert await all_of(one) == [b"abc"]
    assert one.error is None


async def test_a_batch_is_handed_over_when_it_is_worth_a_thread():
    body = Script(*[b"x" * 300_000] * 8)
    batches = await all_of(gatherer(body))
    assert [len(batch) for batch in batches if batch] == [1_200_000, 1_200_000]
    assert body.fast == 1, "a larger receive buffer pays, and it stays"


async def test_bodies_receive_ahead_only_what_half_the_limit_has_room_for():
    buffered = Buffered(4 * GATHER_BYTES)
    bodies = [Script() for _ in range(5)]
    for one in bodies:
        one.size = GATHER_BYTES
    begun = [Gatherer(one, buffered, 60.0, lambda: None) for one in bodies[:4]]
    assert [one.fast for one in bodies] == [1, 1, 0, 0, 0]
    with begun[0].held:
        pass  # it is over
    Gatherer(bodies[4], buffered, 60.0, lambda: None)
    assert bodies[4].fast == 1


async def test_under_memory_pressure_batches_are_small():
    buffered = Buffered(1000)
    with BodyAccount(buffered) as held:
        held.take(1000)
        assert buffered.gather_bytes() == SMALL_GATHER_BYTES
    assert buffered.gather_bytes() == GATHER_BYTES, "what was held is given back, however it ended"


async def test_every_byte_is_counted_when_it_is_read_and_a_stalled_body_hands_over_what_others_need(monkeypatch):
    monkeypatch.setattr(body_module, "LOOK_EVERY_S", 0.02)
    buffered = Buffered(1000)
    stalled = Gatherer(Script(b"x" * 900, 60.0), buffered, 60.0, lambda: None)
    waiting = asyncio.create_task(stalled.batch(1 << 20))
    while buffered.held_bytes < 900:
        await asyncio.sleep(0)
    other = BodyAccount(buffered)
    other.take(100)
    assert await waiting == [b"x" * 900]
    with stalled.held:
        pass
    assert buffered.held_bytes == 100


async def test_far_over_the_limit_nobody_reads_on_for_a_moment(monkeypatch):
    monkeypatch.setattr(body_module, "LOOK_EVERY_S", 60.0)
    buffered = Buffered(1000)
    held = BodyAccount(buffered)
    held.take(2000)
    waiting = asyncio.create_task(Gatherer(Script(b"a"), buffered, 60.0, lambda: None).batch(10))
    for _ in range(5):
        await asyncio.sleep(0)
    assert buffered.held_bytes == 2000
    held.give_back(1500)
    assert await waiting == [b"a"]


async def test_no_more_is_read_than_one_byte_beyond_the_room():
    one = gatherer(Script(*[b"x"] * 100))
    assert b"".join(await one.batch(10)) == b"x" * 11
    assert not one.ended


@pytest.mark.parametrize("error", [BodyBroken("the line broke"), BodyStopped()])
async def test_what_came_before_an_error_is_handed_over_first(error):
    one = gatherer(Script(b"a", b"b", error))
    assert await one.batch(100) == [b"a", b"b"]
    assert one.ended
    assert one.error is error


async def test_a_body_that_is_silent_for_too_long_is_broken(monkeypatch):
    one = gatherer(Script(b"a", 5.0, b"b"), idle_timeout_s=0.02)
    assert await one.batch(100) == [b"a"]
    assert isinstance(one.error, BodyBroken)


async def test_silence_is_counted_from_the_last_byte():
    one = gatherer(Script(b"a", 0.02, b"a", 0.02, b"a", 0.02, b"a", 0.02), idle_timeout_s=0.05)
    assert await all_of(one) == [b"aaaa"]
    assert one.error is None


async def test_bytes_dont_wait_long_for_company(monkeypatch):
    monkeypatch.setattr(body_module, "FLUSH_AFTER_S", 0.02)
    one = gatherer(Script(b"a", 0.1, b"b"))
    assert await one.batch(100) == [b"a"]
    assert not one.ended
    assert [batch for batch in await all_of(one) if batch] == [b"b"]


async def test_what_had_that_time_before_it_was_read_waits_no_longer(monkeypatch):
    monkeypatch.setattr(body_module, "FLUSH_AFTER_S", 0.02)
    one = gatherer(Script(0.03, b"a", 5.0, b"b"))
    async with asyncio.timeout(2):
        assert await one.batch(100) == [b"a"]
    assert not one.ended


async def test_much_that_came_in_that_time_is_let_gather_further(monkeypatch):
    monkeypatch.setattr(body_module, "FLUSH_AFTER_S", 0.02)
    much = b"x" * body_module.SLOW_BYTES
    one = gatherer(Script(0.03, much, b"b"))
    assert await all_of(one) == [much + b"b"]


async def test_time_in_which_nobody_listened_is_no_silence():
    one = gatherer(Script(b"x" * GATHER_BYTES, 0.03, b"b"), idle_timeout_s=0.05)
    assert len((await one.batch(1 << 30))[0]) == GATHER_BYTES
    await asyncio.sleep(0.1)  # a slow disk
    assert await all_of(one) == [b"b"]
    assert one.error is None


async def test_every_piece_is_a_sign_of_life():
    heard = []
    one = Gatherer(Script(b"a", b"b"), Buffered(1 << 30), 60.0, lambda: heard.append(1))
    await all_of(one)
    assert len(heard) == 2


@pytest.mark.parametrize(
    ("pieces", "room", "kept", "beyond"),
    [
        ([], 0, b"", False),
        ([b"abc"], 3, b"abc", False),
        ([b"abc"], 2, b"ab", True),
        ([b"abc"], 0, b"", True),
        ([b"ab", b"cd"], 2, b"ab", True),
        ([b"ab", b"cd"], 3, b"abc", True),
        ([b"ab", b"cd"], 9, b"abcd", False),
    ],
)
def test_a_batch_is_clipped_to_the_room(pieces, room, kept, beyond):
    clipped, size, more = clip(pieces, room)
    assert (b"".join(clipped), size, more) == (kept, len(kept), beyond)


@given(pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=10), room=st.integers(0, 200))
def test_clipping_keeps_exactly_the_first_bytes(pieces: Sequence[bytes], room: int):
    clipped, size, more = clip(list(pieces), room)
    whole = b"".join(pieces)
    assert b"".join(clipped) == whole[:room]
    assert size == min(room, len(whole))
    assert more == (len(whole) > room)
