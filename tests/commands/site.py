"""A gateway's folder with something in it, and the command line beside it, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from gateway.cli import main
from tests.component.gateway_app import Gate, Opened, Person
from tests.unit.delivery.little_pacs import Toy


@dataclass(frozen=True)
class Said:
    """What a command did."""

    status: int
    out: str
    err: str


async def relaypacs(gate: Gate, *words: str, **environ: str) -> Said:
    """Run a command on the gateway's configuration, beside it, in a thread of its own."""

    def run() -> Said:
        out, err = _Text(), _Text()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main(list(words))
            except SystemExit as end:
                status = int(end.code or 0)
        return Said(status, out.text(), err.text())

    known = {"RELAYPACS_CONFIG": str(gate.folder / "relaypacs.toml"), **environ}
    with mock.patch.dict(os.environ, known):
        return await asyncio.to_thread(run)


class _Text(io.TextIOWrapper):
    """Text that has a `buffer`, as stdout does."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding=sys.getdefaultencoding(), write_through=True)

    def text(self) -> str:
        self.flush()
        held = self.buffer
        assert isinstance(held, io.BytesIO)
        return held.getvalue().decode()


async def send(gate: Gate, person: Person, *sent: Toy, **wish: object) -> Opened:
    """Upload instances and complete them; nothing is delivered yet."""
    contents = [toy.content for toy in sent]
    opened = await gate.init(person.token, [len(content) for content in contents], wish=wish)
    for number, content in enumerate(contents):
        await gate.send_file(opened, f"f{number}", content)
    assert (await gate.complete(opened)).status == 202
    return opened


async def events(gate: Gate) -> list[tuple[str, str]]:
    """Event and actor of the whole trail."""
    rows = await gate.ledger.read(lambda tx: tx.audit.after(0, 100_000))
    return [(row.event, row.actor) for row in rows]


def config(gate: Gate) -> Path:
    return gate.folder / "relaypacs.toml"
