"""Instances into the PACS: looked for first, sent in batches, asked for again before anything is sent twice.

The order in which things become true, for each instance:
1. the PACS was asked what it has of the study; what is there already is judged, never sent;
2. the file is `sending` in the ledger: it was absent before, and from now on it may be there;
3. bytes leave;
4. what the PACS said of each is in the ledger.
A crash after 2 leaves `sending`: if the instance is there at the next look, it is the one that was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from gateway.delivery.attempt import Attempt, Superseded
from gateway.delivery.batch import batches, halves
from gateway.delivery.conflict import (
    EarlierDelivery,
    acknowledged,
    earlier_deliveries,
    filed_under,
    is_conflict_unseen,
    judge,
)
from gateway.delivery.items import FileOutcome, Item
from gateway.delivery.outgoing import lost, mark, named
from gateway.delivery.spooled import ReadFaults, SpooledPlace, opener, place_of
from gateway.delivery.verify import LooksAhead
from gateway.errors import Damaged
from gateway.ledger.base import Transaction
from gateway.states import FileResult
from hooks.contract import (
    BatchTooLarge,
    Instance,
    LookupRefused,
    Outcome,
    OutcomeKind,
    Source,
    SourceBroke,
    Stopped,
    TargetError,
)

MIN_BATCH_BYTES = 64 << 10
#: So many batches, more than there are connections, are written down while others are sent.
BESIDE = 2
#: What was said, and doesn't say what became of it.
UNSURE = frozenset({OutcomeKind.UNKNOWN, OutcomeKind.DOUBTFUL})

T = TypeVar("T")


async def send(attempt: Attempt) -> bool:
    """Bring every pending instance in. False: some are to be tried again later.

    :raises TargetDown, TargetMisconfigured, Stopped: see the hooks' contract.
    :raises Superseded: the upload is not to be delivered any more.
    :raises Unavailable: the spool's storage failed.
    """
    await _settle_duplicates(attempt)
    studies = sorted({item.study_instance_uid for item in attempt.items if item.pending})
    if not studies:
        return True
    async with contextlib.AsyncExitStack() as held:
        for study in studies:  # sorted: two uploads can't wait for each other
            await held.enter_async_context(attempt.endpoint.study(study))
        return await Sending(attempt).run(studies)


async def _settle_duplicates(attempt: Attempt) -> None:
    """One UID twice in an upload, with other bytes: the later one is a conflict. (With the same bytes: see `end`.)"""
    first = firsts(attempt.items)
    conflicts = [
        (item, item.became(FileResult.FAILED, code="uid_conflict"))
        for item in attempt.items
        if item.pending and first[item.sop_instance_uid].sha256 != item.sha256
    ]
    await attempt.record(conflicts)


def firsts(items: Iterable[Item]) -> dict[str, Item]:
    """The first file of each SOPInstanceUID: one that is dealt with, else the one that was whole first."""
    first: dict[str, Item] = {}
    for item in sorted(items, key=lambda item: (item.pending, item.whole_at, item.file_id)):
        if item.judgement is None or item.judgement.facts is None:
            continue
        if item.outcome is not None and item.outcome.outcome is FileResult.FAILED:
            continue
        first.setdefault(item.sop_instance_uid, item)
    return first


class Sending:
    """The sending of one attempt."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._endpoint = attempt.endpoint
        self._first = firsts(attempt.items)
        self._priority = str((attempt.declared().get("study_metadata") or {}).get("priority") or "routine")
        self._unknown: list[Item] = []
        self._refusals: dict[str, int | None] = {}  #: by file_id, what the PACS said last
        self._busy = False
        self._ahead = LooksAhead(attempt, ())
        self._broken = False  #: something failed: no batch is begun any more
        self._alone = False  #: each instance goes in a request of its own, for the last time

    async def run(self, studies: Sequence[str]) -> bool:
        """See `send`."""
        to_send: list[Item] = []
        for study in studies:
            to_send += await self._absent(study, self._pending(study))
        await self._batches(to_send)
        if self._unknown:
            await self._one_by_one()
        return not self._busy

    def _pending(self, study: str) -> list[Item]:
        return [
            item
            for item in self._attempt.items
            if item.pending and item.study_instance_uid == study and self._first[item.sop_instance_uid] is item
        ]

    async def _absent(self, study: str, items: Sequence[Item]) -> list[Item]:
        """Those that the PACS doesn't have; what it has is judged and written down."""
        attempt = self._attempt
        formers = await earlier_deliveries(attempt, items)
        shown = self._seen_before(study, items) if not formers else None
        if shown is None:
            shown = await self._look(study, items)
        absent: list[Item] = []
        news: list[tuple[Item, FileOutcome]] = []
        there: list[Item] = []
        for item in items:
            former = formers.get(item.file_id)
            if item.sop_instance_uid not in shown:
                if not item.sent and await is_conflict_unseen(attempt, item, former):
                    news.append((item, item.became(FileResult.FAILED, code="uid_conflict")))
                else:
                    absent.append(item)
            elif item.sent and (former is None or former.same):
                # It was absent, may have been sent, and is there now: ours, whosever the PACS says that it is.
                news.append((item, acknowledged(item, warnings=filed_under(item, shown[item.sop_instance_uid]))))
            else:
                there.append(item)
        await attempt.record(news)
        await self._judge(there, shown, formers)
        return absent

    def _seen_before(self, study: str, items: Sequence[Item]) -> dict[str, str] | None:
        """What `_look` gives, if a former one holds good: not for what was sent, and maybe not answered."""
        looks, series = self._attempt.looks, _series_of(items)
        if looks is None or any(item.sent or item.tries for item in items):
            return None
        return looks.of(study, series, self._attempt.tools.clock.monotonic())

    async def _look(self, study: str, items: Sequence[Item]) -> dict[str, str]:
        """SOPInstanceUID -> PatientID of what the PACS shows of the study."""
        series, began = _series_of(items), self._attempt.tools.clock.monotonic()
        try:
            shown = await self._endpoint.ask(lambda: self._endpoint.target.present(study, series))
            if self._attempt.looks is not None:
                self._attempt.looks.note(study, series, shown, began)
            return shown
        except LookupRefused:
            if not self._attempt.memory.blind:
                self._attempt.memory.blind = True
                await self._attempt.remember()
            return {}

    async def _judge(self, there: Sequence[Item], shown: dict[str, str], formers: dict[str, EarlierDelivery]) -> None:
        async def one(item: Item) -> None:
            if self._attempt.stop.is_set():
                raise Stopped
            patient_id, former = shown.get(item.sop_instance_uid, ""), formers.get(item.file_id)
            outcome = await judge(self._attempt, item, await self._readable(item), patient_id, former)
            await self._attempt.record([(item, outcome)])

        await self._each(there, one)

    async def _readable(self, item: Item) -> Instance:
        """The instance with its bytes, to be compared."""
        tools = self._attempt.tools

        def act(tx: Transaction) -> SpooledPlace | None:
            row = tx.files.get(item.file_id)
            return None if row is None else place_of(tx, row)

        place = await tools.ledger.read(act)
        open_file = _unread if place is None else opener(tools.spool, self._attempt.key, place)
        return named(item, self._priority, open_file)

    async def _batches(self, items: Sequence[Item]) -> None:
        # A batch that keeps failing as a whole is made smaller from attempt to attempt: one bad instance shall not
        # hold the others back.
        attempts = min(self._attempt.job.attempts, 10)
        most = max(1, self._endpoint.config.batch_instances >> attempts)
        self._ahead = LooksAhead(self._attempt, items)
        waiting = batches(items, max_instances=most, max_bytes=self._endpoint.batch_bytes)
        await self._each(waiting, self._deliver, BESIDE)

    async def _each(self, things: Iterable[T], act: Callable[[T], Awaitable[None]], beside: int = 0) -> None:
        """`act` on each, several at once. After an error none is begun; those under way come to their end.

        :param beside: so many more at once than there are connections.
        """
        waiting, errors = iter(things), list[Exception]()

        async def work() -> None:
            for thing in waiting:
                if errors:
                    return
                try:
                    await act(thing)
                except Exception as error:  # noqa: BLE001 # raised below, when the others are through
                    errors.append(error)
                    self._broken = True

        async with asyncio.TaskGroup() as group:
            for _ in range(self._endpoint.config.connections + beside):
                group.create_task(work())
        if errors:
            raise min(errors, key=lambda error: not isinstance(error, Superseded))

    async def _deliver(self, batch: list[Item]) -> None:
        """Send a batch, smaller if it has to be, and write down what became of it."""
        try:
            outcomes = await self._send(batch)
        except BatchTooLarge:
            size_bytes = sum(item.size_bytes for item in batch)
            self._endpoint.batch_bytes = max(MIN_BATCH_BYTES, min(self._endpoint.batch_bytes, size_bytes // 2))
            if len(batch) == 1:
                await self._attempt.record([(batch[0], batch[0].became(FileResult.FAILED, code="too_large_for_pacs"))])
                return
            for half in halves(batch):
                await self._deliver(half)
            return
        await self._note(batch, outcomes)
        await self._ahead.named(batch)
        self._unknown += [item for item in batch if item.pending and _kind(outcomes, item) in UNSURE]

    async def _send(self, batch: Sequence[Item]) -> dict[str, Outcome]:
        """Mark as `sending`, then send. Those that were taken out in the meantime have no outcome."""
        broken = ReadFaults()
        try:
            async with self._endpoint.seats:  # before they are marked: what is `sending` may be there
                return await self._send_marked(batch, broken)
        except SourceBroke as error:
            broken.damaged.add(error.instance_id)
        except (Damaged, TargetError):
            if broken.unavailable is not None:
                raise broken.unavailable from None
            if not broken.damaged:
                raise
        await lost(self._attempt, broken.damaged)
        return await self._send([item for item in batch if item.file_id not in broken.damaged])

    async def _send_marked(self, batch: Sequence[Item], broken: ReadFaults) -> dict[str, Outcome]:
        attempt, target = self._attempt, self._endpoint.target
        if attempt.stop.is_set():
            raise Stopped
        places = {} if self._broken else await mark(attempt, batch)
        instances = [
            named(
                item,
                self._priority,
                broken.watched(
                    item.file_id, item.sha256, opener(attempt.tools.spool, attempt.key, places[item.file_id])
                ),
            )
            for item in batch
            if item.file_id in places
        ]
        if not instances:
            return {}
        return await self._endpoint.ask_seated(lambda: target.deliver(instances, attempt.stop.is_set), storing=True)

    async def _note(self, batch: Sequence[Item], outcomes: dict[str, Outcome]) -> None:
        """Write down what the PACS said for good."""
        news: list[tuple[Item, FileOutcome]] = []
        duplicates: list[Item] = []
        refused: list[Item] = []
        for item in batch:
            said = outcomes.get(item.file_id)
            match None if said is None else said.kind:
                case None | OutcomeKind.UNKNOWN:
                    continue
                case OutcomeKind.BUSY:
                    self._busy = True
                case OutcomeKind.STORED:
                    assert said is not None
                    news.append((item, acknowledged(item, warning_reason=said.warning, compared=said.compared)))
                case OutcomeKind.DUPLICATE if item.tries <= 1 or self._attempt.memory.blind:
                    duplicates.append(item)
                case OutcomeKind.DOUBTFUL if not self._alone:
                    self._refusals[item.file_id] = said.reason if said else None
                case OutcomeKind.DOUBTFUL | OutcomeKind.DUPLICATE | OutcomeKind.FAILED:
                    self._refusals[item.file_id] = said.reason if said else None
                    if item.tries > 1:
                        refused.append(item)
                    elif said is not None and said.kind is OutcomeKind.FAILED:
                        news.append((item, self._refused(item)))
        await self._attempt.record(news)
        if duplicates:
            await self._judge(duplicates, {}, await earlier_deliveries(self._attempt, duplicates))
        if refused:
            await self._look_again(refused)

    def _refused(self, item: Item) -> FileOutcome:
        reason = self._refusals.get(item.file_id)
        if reason is None and item.file_id not in self._refusals:
            return item.became(FileResult.FAILED, code="not_acknowledged")
        return item.became(FileResult.FAILED, code="refused_by_pacs", reason=reason)

    async def _look_again(self, items: Sequence[Item]) -> None:
        """Refused, and sent before: the first answer may have got lost, and what is refused is there already."""
        absent = await self._absent_of(items)
        await self._attempt.record([(item, self._refused(item)) for item in absent])

    async def _one_by_one(self) -> None:
        """Named nowhere in the answer, or refused for no reason: if they aren't there, alone once more, then one last
        look.
        """
        self._alone = True
        items, self._unknown = self._unknown, []
        absent = await self._absent_of(items)
        await self._each([[item] for item in absent], self._deliver)
        still, self._unknown = [item for item in self._unknown if item.pending], []
        missing = await self._absent_of(still)
        await self._attempt.record([(item, self._refused(item)) for item in missing])

    async def _absent_of(self, items: Sequence[Item]) -> list[Item]:
        absent: list[Item] = []
        for study in sorted({item.study_instance_uid for item in items}):
            absent += await self._absent(study, [item for item in items if item.study_instance_uid == study])
        return absent


def _series_of(items: Iterable[Item]) -> list[str]:
    return sorted({item.facts.series_instance_uid for item in items})


def _kind(outcomes: dict[str, Outcome], item: Item) -> OutcomeKind | None:
    """None: it wasn't sent."""
    said = outcomes.get(item.file_id)
    return None if said is None else said.kind


def _unread() -> Source:
    raise Damaged("the file is gone")
