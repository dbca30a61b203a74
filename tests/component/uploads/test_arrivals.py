"""Small files that come whole at once may have their verdict with the commit of their bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from gateway.delivery.items import Ruling, open_judgement
from gateway.keys.unwrap import upload_key
from gateway.ledger.base import Transaction
from gateway.ledger.rows import FileRow, JobKind
from gateway.states import FileState
from hooks.contract import Source, Verdict
from tests.component.gateway_app import Gate, Opened, gateway_app
from tests.unit.delivery.little_pacs import Toy, ToyCheck, toys


class PromptCheck(ToyCheck):
    """Has its verdicts at once, but for those on files that it is `late` with."""

    def __init__(self) -> None:
        super().__init__()
        self.late: set[bytes] = set()
        self.together: list[int] = []
        self.fails: str = ""  #: "begin" or "verdicts"

    def begin(self, sources: Sequence[Source]) -> PromptVerdicts:
        self.together.append(len(sources))
        if self.fails == "begin":
            raise ValueError("broken")
        return PromptVerdicts(self, sources)


class PromptVerdicts:
    def __init__(self, check: PromptCheck, sources: Sequence[Source]) -> None:
        self._check = check
        self._sources = sources

    def verdicts(self) -> list[Verdict | None]:
        if self._check.fails:
            raise ValueError("broken")
        contents = [source.read_at(0, source.size_bytes) for source in self._sources]
        return [
            None if content in self._check.late else self._check.check(source)
            for content, source in zip(contents, self._sources, strict=True)
        ]


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with gateway_app(tmp_path, sqlite=True, check=PromptCheck()) as gate:
        gate.intake.sharing.judge_by(gate.gateway.delivery.arrivals)
        yield gate


async def opened_for(gate: Gate, some: Sequence[Toy]) -> Opened:
    return await gate.init((await gate.person()).token, [len(toy.content) for toy in some])


async def sent(gate: Gate, opened: Opened, toy: Toy, *, whole: bool) -> FileRow:
    content = toy.content
    metadata = {"file_id": toy.uid.replace(".", "_")}
    if whole:
        return await gate.file_at(await gate.tus_file(opened.token, len(content), body=content, metadata=metadata))
    path = await gate.tus_file(opened.token, len(content), metadata=metadata)
    assert (await gate.tus_patch(opened.token, path, 0, content)).status == 204
    return await gate.file_at(path)


async def jobs(gate: Gate, opened: Opened) -> list[str | None]:
    found = await gate.ledger.read(lambda tx: tx.jobs.of_upload(opened.upload_id, JobKind.CHECK))
    return [job.file_id for job in found]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_file_that_was_judged_beside_its_sync_has_its_verdict_and_no_job(gate: Gate, whole: bool) -> None:
    some = toys(3)
    opened = await opened_for(gate, some)
    for toy in some:
        row = await sent(gate, opened, toy, whole=whole)

        def judgement(tx: Transaction, row: FileRow = row):
            upload = tx.uploads.get(row.upload_id)
            assert upload is not None
            assert row.facts_sealed is not None
            key = upload_key(tx, gate.base.ring, upload)
            assert key is not None
            return open_judgement(key, row.file_id, row.facts_sealed)

        found = await gate.ledger.read(judgement)
        assert (row.state, found.verdict, found.sha256) == (FileState.WHOLE, Ruling.ACCEPT, toy.sha256)
        assert found.facts is not None
        assert found.facts.sop_instance_uid == toy.uid
    assert await jobs(gate, opened) == []
    await gate.complete(opened)
    await gate.deliver(for_s=60)
    assert (await gate.upload(opened.upload_id)).state == "success"
    assert sorted(gate.check.seen) == sorted(toy.uid for toy in some)  # each once
    assert set(gate.pacs.held.values()) == {toy.content for toy in some}


async def test_a_file_that_is_rejected_is_so_with_its_last_byte(gate: Gate) -> None:
    good, bad = toys(1)[0], Toy("1.2.3.1.77", verdict="reject")
    opened = await opened_for(gate, [good, bad])
    await sent(gate, opened, good, whole=True)
    row = await sent(gate, opened, bad, whole=True)
    assert (row.state, row.offset, row.outcome_sealed is not None) == (FileState.REJECTED, len(bad.content), True)
    await gate.complete(opened)
    await gate.deliver(for_s=60)
    assert (await gate.upload(opened.upload_id)).state == "partial"
    assert list(gate.pacs.held.values()) == [good.content]


async def test_what_has_no_verdict_in_time_is_judged_by_a_job(gate: Gate) -> None:
    some = toys(2)
    opened = await opened_for(gate, some)
    gate.check.late = {some[1].content}  # type: ignore[attr-defined]  # it is a PromptCheck
    first, second = [await sent(gate, opened, toy, whole=True) for toy in some]
    assert first.facts_sealed is not None
    assert second.facts_sealed is None
    assert await jobs(gate, opened) == [second.file_id]
    await gate.complete(opened)
    await gate.deliver(for_s=60)
    assert (await gate.upload(opened.upload_id)).state == "success"


@pytest.mark.parametrize("where", ["begin", "verdicts"])
async def test_a_check_that_breaks_beside_the_sync_keeps_nobodys_bytes(gate: Gate, where: str) -> None:
    some = toys(2)
    opened = await opened_for(gate, some)
    gate.check.fails = where  # type: ignore[attr-defined]  # it is a PromptCheck
    rows = [await sent(gate, opened, toy, whole=True) for toy in some]
    assert set(await jobs(gate, opened)) == {row.file_id for row in rows}
    await gate.complete(opened)
    await gate.deliver(for_s=60)
    assert (await gate.upload(opened.upload_id)).state == "success"


async def test_a_file_that_comes_in_two_pieces_is_judged_by_a_job(gate: Gate) -> None:
    (toy,) = toys(1)
    opened = await opened_for(gate, [toy])
    path = await gate.tus_file(opened.token, len(toy.content))
    assert (await gate.tus_patch(opened.token, path, 0, toy.content[:20])).status == 204
    assert (await gate.tus_patch(opened.token, path, 20, toy.content[20:])).status == 204
    row = await gate.file_at(path)
    assert gate.check.together == []  # type: ignore[attr-defined]  # it is a PromptCheck
    assert await jobs(gate, opened) == [row.file_id]


async def test_of_an_upload_that_streams_the_verdict_is_a_job_s_which_wakes_its_delivery(tmp_path: Path) -> None:
    (toy,) = toys(1)
    async with gateway_app(
        tmp_path,
        sqlite=True,
        check=PromptCheck(),
        toml='[endpoints.live]\nurl = "http://127.0.0.1:9/dicom-web"\nmode = "stream"\n',
    ) as gate:
        gate.intake.sharing.judge_by(gate.gateway.delivery.arrivals)
        opened = await gate.init((await gate.person()).token, [len(toy.content)], wish={"endpoint_id": "live"})
        row = await sent(gate, opened, toy, whole=True)
        assert row.facts_sealed is None
        assert await jobs(gate, opened) == [row.file_id]
