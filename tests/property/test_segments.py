"""However bytes are cut into runs, appends and pieces, over crashes too, the file reads as it was sent."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.spool import FRAME_SIZE, Run, SegmentWriter
from tests.unit.spool.support import World, noise, nonces

LENGTHS = st.one_of(
    st.integers(1, 200),
    st.integers(FRAME_SIZE - 2, FRAME_SIZE + 2),
    st.integers(1, 5 * FRAME_SIZE),
)


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """Lengths of the runs, the order in which they are written, and a seed for the finer cuts."""
    lengths = draw(st.lists(LENGTHS, min_size=1, max_size=8))
    order = draw(st.permutations(range(len(lengths))))
    return lengths, order, draw(st.integers(0, 2**32))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.data_too_large])
@given(plans())
def test_any_cut_into_runs_appends_and_reads_gives_the_source_again(plan: tuple[list[int], list[int], int]) -> None:
    lengths, order, seed = plan
    dice = random.Random(seed)
    source = noise(sum(lengths), seed)
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    world = World()
    writers = [world.writer() for _ in range(dice.randint(1, 3))]
    runs = []
    for number in order:
        writer = dice.choice(writers)
        if dice.random() < 0.2:  # a run that is never accepted
            writer.begin_run(starts[number])
            writer.append([noise(dice.randint(1, 1000), seed + 1)])
        writer.begin_run(starts[number])
        append_in_cuts(writer, source[starts[number] : starts[number] + lengths[number]], dice)
        runs.append(writer.run)
    file = world.reader(runs)
    file.probe()
    for _ in range(20):
        offset, size = dice.randint(0, len(source)), dice.choice([1, 10, 70_000, len(source)])
        assert file.read_at(offset, size) == source[offset : offset + size]
    assert b"".join(bytes(piece) for piece in file.iter_pieces(piece_size=dice.choice([1000, 1 << 20]))) == source


def append_in_cuts(writer: SegmentWriter, content: bytes, dice: random.Random) -> None:
    at = 0
    while at < len(content):
        pieces = []
        for _ in range(dice.randint(1, 4)):
            size = dice.choice([1, 100, FRAME_SIZE, dice.randint(1, 3 * FRAME_SIZE)])
            pieces.append(content[at : at + size])
            at += size
        writer.append(pieces)


@dataclass
class _Ledger:
    """What was committed: the only thing that survives besides the store."""

    runs: list[Run] = field(default_factory=list)

    @property
    def offset(self) -> int:
        return sum(run.length for run in self.runs)


class Crashes(RuleBasedStateMachine):
    """One file received over kills and power cuts. Rows are committed only after a sync."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.source = noise(1 << 20)
        self.ledger = _Ledger()
        self.writer: SegmentWriter | None = None
        self.committed_runs = 0  #: runs of the present writer that are in the ledger: 0 or 1
        self.prefixes: dict[str, bytes] = {}
        self.nonces: set[bytes] = set()
        self.frames_seen: dict[str, int] = {}

    @rule(size=LENGTHS)
    def append(self, size: int) -> None:
        if self.writer is None:
            self.writer = self.world.writer(self.ledger.offset)
            self.committed_runs = 0
        offset = self.writer.offset
        self.writer.append([self.source[offset : offset + size]])

    @precondition(lambda self: self.writer is not None)
    @rule()
    def sync_and_commit(self) -> None:
        writer = self.writer
        assert writer is not None
        writer.sync()
        if writer.run.length:
            self.ledger.runs[len(self.ledger.runs) - self.committed_runs :] = [writer.run]
            self.committed_runs = 1
            self.prefixes[writer.segment_id] = self.world.blobs.content(writer.segment_id)

    @rule()
    def kill(self) -> None:
        self.writer = None

    @rule(kept=st.integers(0, 100_000))
    def cut_the_power(self, kept: int) -> None:
        self.note_nonces()
        self.world.blobs = self.world.blobs.after_power_cut(keep_unsynced_bytes=kept)
        self.writer = None

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        file = self.world.reader(self.ledger.runs)
        assert file.read_at(0, len(self.source)) == self.source[: self.ledger.offset]
        file.probe()

    @invariant()
    def a_synced_prefix_never_changes(self) -> None:
        for segment_id, prefix in self.prefixes.items():
            assert self.world.blobs.content(segment_id).startswith(prefix)

    def note_nonces(self) -> None:
        """No nonce comes twice, not even after the power took the frame that had it."""
        for facts in self.world.blobs.list():
            content = self.world.blobs.content(facts.name)
            whole = self.whole_frames(content)
            fresh = nonces(whole)[self.frames_seen.get(facts.name, 0) :]
            assert len(set(fresh)) == len(fresh)
            assert not self.nonces & set(fresh)
            self.nonces |= set(fresh)
            self.frames_seen[facts.name] = self.frames_seen.get(facts.name, 0) + len(fresh)

    @staticmethod
    def whole_frames(content: bytes) -> bytes:
        at = 96
        while at + 20 <= len(content) and at + (size := 36 + int.from_bytes(content[at : at + 4], "big")) <= len(
            content
        ):
            at += size
        return content[:at] if len(content) >= 96 else b""

    def teardown(self) -> None:
        self.note_nonces()


Crashes.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestCrashes = Crashes.TestCase
