"""Storage commitment: when a PACS is asked, how long it is waited for, and what its answer makes of an instance."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.states import UploadState
from hooks.contract import AskAnew, Commitment, CommitmentRefused, TargetDown
from tests.clocks import ManualClock
from tests.unit.delivery.little_pacs import toys
from tests.unit.delivery.room import Room, room

VERIFY_FOR_S = 600.0


@dataclass
class Archive:
    """Commits, or not, as a test says; a new one is a new process's memory of it.

    :ivar asked: transactions, with when they were asked for; `fetched`: when an answer was asked for.
    :ivar broken: so many questions break off; `forgets`: it never knows what it was asked for.
    """

    clock: ManualClock
    reports: bool = False
    asked: list[tuple[str, float]] = field(default_factory=list)
    fetched: list[float] = field(default_factory=list)
    broken: int = 0
    refuses: bool = False
    forgets: bool = False
    wants_s: float = 0.0
    answers_at: float = 0.0
    failed: dict[str, int | None] = field(default_factory=dict)
    known: dict[str, Mapping[str, str]] = field(default_factory=dict)
    looked_at: float = 0.0  #: when its answers were seen last

    def ask_commitment(self, transaction_uid: str, instances: Mapping[str, str]) -> float:
        self.known[transaction_uid] = instances
        if self.broken:
            self.broken -= 1
            raise TargetDown("connection_lost")
        if self.refuses:
            raise CommitmentRefused("http_404")
        self.asked.append((transaction_uid, self.clock.now()))
        self.looked_at = self.clock.now()
        return self.wants_s

    def fetch_commitment(self, transaction_uid: str) -> float:
        assert transaction_uid in self.known
        assert not self.reports
        self.fetched.append(self.clock.now())
        self.looked_at = self.clock.now()
        if self.forgets:
            raise AskAnew("http_404")
        return self.wants_s

    def awaits(self, transaction_uid: str) -> bool:
        return transaction_uid in self.known

    def commitment(self, transaction_uid: str) -> Commitment | None:
        if (self.clock.now() if self.reports else self.looked_at) < self.answers_at:
            return None
        uids = self.known[transaction_uid].keys()
        return Commitment(frozenset(uids - self.failed.keys()), self.failed)

    def forget(self, transaction_uid: str) -> None:
        self.known.pop(transaction_uid, None)


@pytest.fixture(params=[False, True], ids=["fetched", "reported"])
def reports(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Room]:
    async with room(tmp_path) as opened:
        yield opened


def committing(it: Room, **known: object) -> Archive:
    """A process that asks this archive."""
    archive = Archive(it.clock, **known)  # type: ignore[arg-type] # its fields
    it.config = {"committing": archive, "verify_for_s": VERIFY_FOR_S, "identity": "as-is"}
    it.restart()
    return archive


async def codes(it: Room, upload_id: str) -> list[str]:
    return [one["code"] for one in await it.warnings(upload_id)]


async def test_a_question_that_broke_off_is_asked_again_and_has_all_of_the_time(it: Room, reports: bool) -> None:
    archive = committing(it, reports=reports, broken=2, answers_at=it.clock.now() + 300)
    upload_id = await it.submit(toys(2))
    await it.run(for_s=200)
    assert (await it.upload(upload_id)).state is UploadState.DELIVERING
    assert len(archive.asked) == 1
    await it.run(for_s=200)
    assert (await it.receipt(upload_id))["verification"] == "committed"
    assert await codes(it, upload_id) == []


async def test_an_archive_that_never_answers_is_waited_for_as_long_as_it_may_take(it: Room, reports: bool) -> None:
    archive = committing(it, reports=reports, answers_at=float("inf"))
    upload_id = await it.submit(toys(2))
    await it.run(for_s=VERIFY_FOR_S - 1)
    assert (await it.upload(upload_id)).state is UploadState.DELIVERING
    await it.run(for_s=5)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert await codes(it, upload_id) == ["not_committed"] * 2
    assert (await it.receipt(upload_id))["verification"] == "queried"
    assert (len(archive.asked), archive.known) == (1, {})


async def test_an_archive_that_forgets_is_asked_anew_within_the_same_time(it: Room) -> None:
    archive = committing(it, forgets=True, answers_at=float("inf"))
    upload_id = await it.submit(toys(1))
    await it.run(for_s=VERIFY_FOR_S + 5)
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert await codes(it, upload_id) == ["not_committed"]
    transactions = [transaction for transaction, _ in archive.asked]
    assert len(transactions) == len(set(transactions)) > 3
    assert archive.asked[-1][1] - archive.asked[0][1] <= VERIFY_FOR_S + 1
    assert archive.known == {}


async def test_an_answer_is_not_fetched_before_the_archive_wants_to_be_asked(it: Room) -> None:
    archive = committing(it, wants_s=120.0, answers_at=it.clock.now() + 200)
    upload_id = await it.submit(toys(1))
    await it.run(for_s=400)
    assert (await it.receipt(upload_id))["verification"] == "committed"
    times = [archive.asked[0][1], *archive.fetched]
    assert all(later - earlier >= 120 for earlier, later in itertools.pairwise(times))
    assert len(archive.fetched) == 2


async def test_another_process_asks_again_and_waits_anew(it: Room, reports: bool) -> None:
    former = committing(it, reports=reports, answers_at=float("inf"))
    upload_id = await it.submit(toys(1))
    await it.run(for_s=VERIFY_FOR_S - 60)
    archive = committing(it, reports=reports, answers_at=it.clock.now() + 300)
    await it.run(for_s=400)
    assert (await it.receipt(upload_id))["verification"] == "committed"
    assert len({transaction for transaction, _ in former.asked + archive.asked}) == 2


@pytest.mark.parametrize(
    ("reason", "state", "outcome"),
    [
        (0x0110, UploadState.PARTIAL, "failed"),
        (0x0112, UploadState.PARTIAL, "failed"),
        (None, UploadState.PARTIAL, "failed"),
        (0x0122, UploadState.SUCCESS, "stored"),
        (0x0131, UploadState.SUCCESS, "stored"),
    ],
)
async def test_a_reason_says_whether_the_instance_is_meant(
    it: Room, reason: int | None, state: UploadState, outcome: str
) -> None:
    """0122: it commits to none of this class; 0131: the transaction's UID is in use (PS3.3 section C.14.1.1)."""
    content = toys(2)
    committing(it, failed={content[0].uid: reason})
    upload_id = await it.submit(content)
    await it.run()
    assert (await it.upload(upload_id)).state is state
    assert [str(one.outcome) for one in await it.outcomes(upload_id)] == [outcome, "stored"]
    assert await codes(it, upload_id) == ["not_committed"]


async def test_an_archive_that_commits_to_nothing_is_asked_once(it: Room) -> None:
    archive = committing(it, refuses=True)
    upload_id = await it.submit(toys(2))
    await it.run()
    assert (await it.upload(upload_id)).state is UploadState.SUCCESS
    assert await codes(it, upload_id) == ["not_committed"] * 2
    assert archive.known == {}


async def test_what_more_than_a_request_holds_is_asked_for_by_several(it: Room, monkeypatch) -> None:
    monkeypatch.setattr("gateway.delivery.commit.PAGE", 2)
    archive = committing(it)
    upload_id = await it.submit(toys(5))
    await it.run()
    assert (await it.receipt(upload_id))["verification"] == "committed"
    assert len({transaction for transaction, _ in archive.asked}) == 3
