"""`relaypacs jobs`: deliveries. Works beside a running `serve`, through the ledger; a worker looks again within seconds."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.cli.opening import ACTOR, configured, printable
from gateway.errors import ConfigError, Conflict, Gone, NotFound

if TYPE_CHECKING:
    from gateway.assembly.base import Base
    from gateway.ledger.base import Transaction
    from gateway.ledger.rows import DeliveryRow, JobRow, UploadRow
    from gateway.states import UploadState

PAGE = 500


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `jobs` to the command's parser."""
    parser = subparsers.add_parser("jobs", help="list deliveries, send one again, or end one")
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    for name, act, text in (
        ("list", _list, "every delivery that waits, is under way, is held or has failed"),
        ("retry", _retry, "send what failed or waits, now"),
        ("drop", _drop, "end an upload; its uploader sees the reason, its bytes can't be read any more"),
    ):
        one = acts.add_parser(name, help=text)
        if name != "list":
            one.add_argument("upload_id", metavar="UPLOAD_ID")
            one.add_argument(
                "--reason", default="by the operator", metavar="TEXT", help="for the audit trail; no names"
            )
        if name == "list":
            one.add_argument("--json", action="store_true", help="print a list of objects")
        if name == "drop":
            one.add_argument("--wipe", action="store_true", help="its device deletes what it has of it, too")
        one.set_defaults(run=run, jobs_act=act)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say. :returns: the exit status."""
    import asyncio

    act: Callable[[Base, argparse.Namespace], Awaitable[None]] = args.jobs_act
    asyncio.run(_with_base(args, act))
    return 0


async def _with_base(args: argparse.Namespace, act: Callable[[Base, argparse.Namespace], Awaitable[None]]) -> None:
    from gateway.assembly.base import open_base
    from gateway.clock import SystemClock

    async with open_base(configured(args), SystemClock()) as base:
        await act(base, args)


async def _list(base: Base, args: argparse.Namespace) -> None:
    import json

    from gateway.states import UploadState

    states = [
        UploadState.UPLOADING,
        UploadState.DELIVERING,
        UploadState.HELD,
        UploadState.PARTIAL,
        UploadState.FAILED,
    ]
    found: list[dict[str, Any]] = []
    after = ""
    while page := await _page(base, states, after):
        found += [one for row in page if _is_delivery(row) for one in _told(base, *row)]
        after = page[-1].upload.upload_id
    found += await _left_over(base)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    table: list[tuple[str, ...]] = [("UPLOAD", "ENDPOINT", "STATE", "TRIED", "SINCE", "NEXT", "WHY")]
    table += [_line(one) for one in found]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


class _Row(NamedTuple):
    """An upload, its jobs, and its deliveries if it has several."""

    upload: UploadRow
    jobs: list[JobRow]
    deliveries: list[DeliveryRow]


def _row(tx: Transaction, upload: UploadRow) -> _Row:
    from gateway.ledger.rows import JobKind

    jobs = tx.jobs.of_upload(upload.upload_id, JobKind.DELIVER)
    return _Row(upload, jobs, tx.deliveries.of_upload(upload.upload_id))


def _is_delivery(row: _Row) -> bool:
    """Not an upload that only receives."""
    from gateway.states import RECEIVING_STATES

    return bool(row.jobs) or row.upload.state not in RECEIVING_STATES


async def _page(base: Base, states: list[UploadState], after: str) -> list[_Row]:
    def act(tx: Transaction) -> list[_Row]:
        return [_row(tx, row) for row in tx.uploads.page(states=states, after=after, limit=PAGE)]

    return await base.ledger.read(act)


async def _left_over(base: Base) -> list[dict[str, Any]]:
    """Deliveries under way of uploads that are a success without them."""
    from gateway.ledger.rows import JobKind
    from gateway.states import UploadState

    found: list[dict[str, Any]] = []

    def act(tx: Transaction, after: int) -> tuple[int | None, list[_Row]]:
        page = tx.jobs.page(after=after, limit=PAGE)
        ids = dict.fromkeys(job.upload_id for job in page if job.kind is JobKind.DELIVER and job.endpoint_id)
        rows = [row for row in map(tx.uploads.get, ids) if row is not None and row.state is UploadState.SUCCESS]
        return (page[-1].job_id if page else None), [_row(tx, row) for row in rows]

    after: int | None = 0
    while after is not None:
        after, rows = await base.ledger.read(partial(act, after=after))
        found += [one for row in rows for one in _told(base, *row)]
    return list({(one["upload_id"], one["endpoint_id"]): one for one in found}.values())


def _told(base: Base, upload: UploadRow, jobs: list[JobRow], deliveries: list[DeliveryRow]) -> Iterator[dict[str, Any]]:
    """Why it isn't in its PACS, since when, and when it is tried next; of several deliveries those of which that is so."""
    from gateway.delivery.way import seen
    from gateway.states import UploadState

    if not deliveries:
        yield _why(base, upload, jobs[0] if jobs else None)
    for delivery in deliveries:
        if delivery.state is not UploadState.SUCCESS:
            job = next((one for one in jobs if one.endpoint_id == delivery.endpoint_id), None)
            yield _why(base, seen(upload, delivery), job)


def _why(base: Base, upload: UploadRow, job: JobRow | None) -> dict[str, Any]:
    from gateway.clock import rfc3339
    from gateway.ledger.resting import is_at_rest
    from gateway.uploads.views import Views

    if upload.held_reasons:
        since, why = upload.held_at, upload.held_reasons
    elif job is None:
        codes = {str(one.get("code", "")) for one in Views(base.keys.records).warnings(upload)}
        since, why = upload.finished_at, sorted(codes)
    else:
        since, why = upload.queued_at, [job.last_code] if job.last_code else []
    return {
        "upload_id": upload.upload_id,
        "endpoint_id": upload.endpoint_id,
        "state": str(upload.state),
        "tried": None if job is None else job.attempts,
        "since": None if since is None else rfc3339(since),
        "next": None if job is None or is_at_rest(job) else "now" if job.lease_by is not None else rfc3339(job.due_at),
        "why": why,
    }


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    def cell(value: object) -> str:
        return "-" if value is None else str(value)

    named = ("upload_id", "endpoint_id", "state", "tried", "since", "next")
    return *(cell(one[name]) for name in named), printable(",".join(one["why"]) or "-")


async def _retry(base: Base, args: argparse.Namespace) -> None:
    from dataclasses import replace

    from gateway.delivery.finish import retry
    from gateway.ledger.base import JOBS
    from gateway.ledger.rows import JobKind
    from gateway.states import UploadState

    now = base.clock.now()

    def act(tx: Transaction) -> bool:
        """Whether its delivery, which waits, is due now."""
        upload = tx.uploads.get(args.upload_id)
        if upload is None:
            raise NotFound("there is no such upload: `relaypacs jobs list` shows them")
        if upload.state is UploadState.HELD:
            raise ConfigError("it is held: release it over HTTP, where its patient can be looked at first")
        waiting = tx.jobs.of_upload(upload.upload_id, JobKind.DELIVER)
        if upload.state is not UploadState.DELIVERING or not waiting:
            return False
        for job in waiting:
            tx.jobs.save(replace(job, due_at=min(now, job.due_at)))
        detail = {"reason": args.reason, "files": 0}
        tx.audit.append("upload.retried", at=now, actor=ACTOR, upload_id=upload.upload_id, detail=detail)
        tx.wake(JOBS)
        return True

    if await base.ledger.write(act):
        print("it is due now")
        return
    files = await retry(base.ledger, args.upload_id, actor=ACTOR, reason=args.reason, clock=base.clock, keys=base.keys)
    print(f"{files} files will be sent again")


async def _drop(base: Base, args: argparse.Namespace) -> None:
    from gateway.assembly.gateway import open_submissions
    from gateway.identity.principal import ADMIN, Principal
    from gateway.identity.wipe import Wiping

    who = Principal(ACTOR, ADMIN, named=ACTOR)
    if args.wipe:
        await Wiping(base.ledger, base.clock).order(args.upload_id, actor=ACTOR, reason=args.reason)
        print("its device is told to delete it")
    try:
        with open_submissions(base) as submissions:
            await submissions.cancel(who, args.upload_id, args.reason)
    except (Gone, Conflict):
        if not args.wipe:
            raise
    else:
        print("it is cancelled; the next purge removes its bytes")
