"""Uploads of which instances leave while others still come (endpoint `mode = "stream"`).

An upload's job is written with the first verdict, rests when nothing is ready, and is woken by the next one. What is
here is what this process remembers of files between two runs of that job, so that it needn't read them all again; the
ledger has all of it, and a process that begins reads it there.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from gateway.delivery.attempt import Attempt
from gateway.delivery.items import Item, item_of, without_instance
from gateway.delivery.looks import Looks
from gateway.delivery.threads import in_thread
from gateway.delivery.way import Way
from gateway.ledger.base import JOBS, Transaction
from gateway.ledger.resting import is_at_rest, wake
from gateway.ledger.rows import FileRow, JobKind, JobRow, UploadRow
from gateway.spool import ServiceKeys, UploadKey
from gateway.states import LEFT_STATES, RECEIVING_STATES, FileState
from hooks.contract import Facts

PAGE = 500
#: More verdicts than ever are being written at once.
LATELY = 4096
#: Uploads whose files are remembered; those that were served longest ago are read again.
REMEMBERED = 64
#: `last_code` of a job that rests: until the next verdict; until the upload is complete.
NEXT, COMPLETE = "streaming", "waits_for_complete"


@dataclass(slots=True)
class Stream:
    """What is known of the files of one upload.

    :param epoch: of the upload, when it was read.
    :param news: files that got their verdict since the last run; of some of them it isn't committed yet.
    :param waiting: those that may leave, by file_id.
    :param left: SOPInstanceUID of what has left -> its file_id.
    :param cleared: whose they were: of those that have left, without what is an instance's own.
    :param named: what the PACS has named since this process reads, by file_id; it isn't looked for yet.
    :param twins: whose those are that have the SOPInstanceUID of one that has left. They are judged, and stay here.
    """

    epoch: int
    news: list[str] = field(default_factory=list)
    waiting: dict[str, Item] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    cleared: dict[Facts, None] = field(default_factory=dict)
    twins: dict[Facts, None] = field(default_factory=dict)
    looks: Looks = field(default_factory=Looks)
    named: dict[str, Item] = field(default_factory=dict)

    def take(self, items: Iterable[Item]) -> None:
        """Sort them. Of one SOPInstanceUID twice nobody decides before the upload is complete."""
        for item in items:
            if item.judgement is None or item.judgement.facts is None or item.state is FileState.REMOVED:
                self.waiting.pop(item.file_id, None)
                continue
            if _has_left(item):
                self.left.setdefault(item.sop_instance_uid, item.file_id)
                self.cleared.setdefault(without_instance(item.facts))
            self.waiting.pop(item.file_id, None)
            if item.acknowledged:
                self.named[item.file_id] = item
            else:
                self.named.pop(item.file_id, None)
            if item.pending and self.left.get(item.sop_instance_uid, item.file_id) == item.file_id:
                self.waiting[item.file_id] = item
            elif item.pending:
                self.twins.setdefault(without_instance(item.facts))

    def ready(self) -> list[Item]:
        """What may leave now, the first of each SOPInstanceUID."""
        first: dict[str, Item] = {}
        for item in sorted(self.waiting.values(), key=lambda item: (not item.sent, item.whole_at, item.file_id)):
            first.setdefault(item.sop_instance_uid, item)
        return list(first.values())


class Streams:
    """The streams of all uploads.

    :param endpoint_ids: endpoints with `mode = "stream"`.
    :param routed: there are routes: the upload's endpoint isn't known before one is chosen.
    """

    def __init__(self, endpoint_ids: Collection[str] = (), *, routed: bool = False) -> None:
        self._endpoint_ids = frozenset(endpoint_ids)
        self._routed = routed
        self._streams: OrderedDict[str, Stream] = OrderedDict()
        self._lately: deque[tuple[str, str]] = deque(maxlen=LATELY)  # upload_id and file_id of verdicts

    def has(self, upload: UploadRow) -> bool:
        """What is valid of it may leave before it is complete, as far as is known."""
        if upload.single:
            return False
        if self._routed and upload.route is None:
            return bool(self._endpoint_ids)
        return upload.endpoint_id in self._endpoint_ids

    def judged(self, upload_id: str, file_id: str) -> None:
        """A verdict is about to be written: who begins to read now may not find it yet, and is to look for it again."""
        self._lately.append((upload_id, file_id))
        if (stream := self._streams.get(upload_id)) is not None:
            stream.news.append(file_id)

    def wake(self, tx: Transaction, upload_ids: Iterable[str], now: float) -> None:
        """In the transaction of their verdicts: what streams has something to do."""
        for upload_id in upload_ids:
            upload = tx.uploads.get(upload_id)
            if upload is None or upload.state not in RECEIVING_STATES or not self.has(upload):
                continue
            jobs = tx.jobs.of_upload(upload_id, JobKind.DELIVER)
            for job in jobs:
                if not is_at_rest(job) or job.last_code == NEXT:
                    wake(tx, job, now)
            if not jobs:
                tx.jobs.insert(JobRow(0, JobKind.DELIVER, upload_id, None, now, 0, 0.0, None, None, None, ""))
                tx.wake(JOBS)

    def forget(self, upload_id: str) -> Looks | None:
        """What is remembered of it isn't true any more, or nobody wants it; the looks at the PACS hold good still."""
        stream = self._streams.pop(upload_id, None)
        return None if stream is None else stream.looks

    def note(self, attempt: Attempt) -> None:
        """An attempt is over."""
        if attempt.looks is not None and (stream := self._streams.get(attempt.upload.upload_id)) is not None:
            stream.take(attempt.items)

    def named(self, attempt: Attempt) -> list[Item]:
        """What the PACS has named, and what isn't looked for yet; the oldest first."""
        stream = self._streams.get(attempt.upload.upload_id)
        now = [item for item in attempt.items if item.acknowledged]
        return now if stream is None else [*stream.named.values(), *now]

    def found(self, attempt: Attempt, items: Iterable[Item]) -> None:
        """These were looked for, and are there."""
        if (stream := self._streams.get(attempt.upload.upload_id)) is not None:
            stream.take(items)

    async def load(self, attempt: Attempt) -> None:
        """Give the attempt what may leave now."""
        upload = attempt.upload
        try:
            stream = self._streams.get(upload.upload_id)
            if stream is None or stream.epoch != upload.epoch:
                lately = [file_id for upload_id, file_id in list(self._lately) if upload_id == upload.upload_id]
                stream = self._streams[upload.upload_id] = Stream(
                    upload.epoch, lately
                )  # it hears of verdicts from here on
                await _read_all(stream, attempt)
            await _read_news(stream, attempt)
        except BaseException:
            self.forget(upload.upload_id)  # what was read in part would be taken for all
            raise
        self._streams.move_to_end(upload.upload_id)
        while len(self._streams) > REMEMBERED:
            self._streams.popitem(last=False)
        attempt.items, attempt.cleared, attempt.looks = stream.ready(), dict(stream.cleared), stream.looks
        attempt.twins = [facts for facts in stream.twins if facts not in stream.cleared]


async def _read_all(stream: Stream, attempt: Attempt) -> None:
    last, tools = "", attempt.tools
    while rows := await tools.ledger.read(partial(attempt.way.page, after=last, limit=PAGE)):
        stream.take(await in_thread(partial(_items, rows, attempt.key, tools.keys)))
        last = rows[-1].file_id


async def _read_news(stream: Stream, attempt: Attempt) -> None:
    """What waits since the last run, too: its client may have taken it out."""
    asked, stream.news, tools = [*stream.news, *stream.waiting], [], attempt.tools
    for start in range(0, len(asked), PAGE):
        rows = await tools.ledger.read(partial(_rows, attempt.way, asked[start : start + PAGE]))
        unjudged = [row.file_id for row in rows if row.facts_sealed is None and row.state is FileState.WHOLE]
        stream.news += unjudged
        rest = [row for row in rows if row.file_id not in unjudged]
        stream.take(await in_thread(partial(_items, rest, attempt.key, tools.keys)))


def cleared_by(items: Iterable[Item]) -> dict[Facts, None]:
    """Whose instances those are that have left, without what is an instance's own."""
    return dict.fromkeys(
        without_instance(item.facts)
        for item in items
        if item.judgement is not None and item.judgement.facts is not None and _has_left(item)
    )


def _has_left(item: Item) -> bool:
    return item.state in LEFT_STATES or item.outcome is not None


def _rows(way: Way, file_ids: Sequence[str], tx: Transaction) -> list[FileRow]:
    found = (way.file(tx, file_id) for file_id in dict.fromkeys(file_ids))
    return [row for row in found if row is not None]


def _items(rows: Sequence[FileRow], key: UploadKey, keys: ServiceKeys) -> list[Item]:
    return [item_of(row, key, keys) for row in rows]
