"""Each alert of config/prometheus.rules.yml fires because of its fault: the gateway suffers it, its metrics are asked every
minute of the test's clock, and promtool says what Prometheus would make of them.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError
from prometheus_client.parser import text_string_to_metric_families

from gateway.telling import scrape
from tests.commands.site import send
from tests.component.gateway_app import Gate, gateway_app
from tests.component.telling.receiver import listening
from tests.unit.delivery.little_pacs import Toy, toys

RULES = Path(__file__).parents[3] / "config" / "prometheus.rules.yml"
TOKEN = "a token for Prometheus"


@dataclass
class Watched:
    """A gateway, and what its metrics said in which minute. A gateway that doesn't answer is `up` 0."""

    gate: Gate
    seen: dict[int, dict[str, float]] = field(default_factory=dict)
    minute: int = 0

    async def look(self) -> None:
        """What Prometheus does."""
        found = {'up{job="relaypacs"}': 0.0}
        try:
            answer = await self.gate.ask("GET", "/metrics", TOKEN)
        except (ClientError, RuntimeError):
            self.seen[self.minute] = found
            return
        found['up{job="relaypacs"}'] = 1.0
        began = self.gate.clock.now() - 60 * self.minute
        for family in text_string_to_metric_families(answer.body.decode()):
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
                # Prometheus's test begins at the epoch.
                shift = began if sample.name.endswith("purge_last_run_timestamp_seconds") else 0.0
                if math.isfinite(sample.value):
                    found[f"{sample.name}{{{labels}}}"] = sample.value - shift
        self.seen[self.minute] = found

    async def go_on(self, minutes: int = 1, each: Callable[[], Awaitable[object]] | None = None) -> None:
        """So many minutes, with a look at the end of each."""
        for _ in range(minutes):
            if each is not None:
                await each()
            await self.gate.deliver(for_s=60)
            self.minute += 1
            await self.look()

    async def skip(self, minutes: int) -> None:
        """Nobody looks for so long."""
        await self.gate.deliver(for_s=60 * minutes)
        self.minute += minutes
        await self.look()

    def values(self, name: str) -> str:
        """A series in promtool's words."""
        rows = (self.seen.get(at, {}) for at in range(self.minute + 1))
        return " ".join(f"{row[name]:.9f}" if name in row else "_" for row in rows)

    def verdict(self, alerts: Sequence[str], folder: Path) -> str:
        """Empty: none of them is there at the first look, and each has fired since; else what promtool says."""
        names = {name for row in self.seen.values() for name in row}
        asked = []
        for alert in alerts:
            firing = f'count_over_time(ALERTS{{alertname="{alert}", alertstate="firing"}}[3h])'
            some = f"count({firing}) > bool 0"
            asked += [
                {"expr": f'ALERTS{{alertname="{alert}"}}', "eval_time": "0m", "exp_samples": []},
                {"expr": some, "eval_time": f"{self.minute}m", "exp_samples": [{"labels": "{}", "value": 1}]},
            ]
        series = [{"series": name, "values": self.values(name)} for name in sorted(names)]
        test = {"interval": "1m", "input_series": series, "promql_expr_test": asked}
        known = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
        path = folder / "alert.test.yml"
        path.write_text(json.dumps(known), encoding="utf-8")
        done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr


async def nobody_answers(on: Watched) -> None:
    await on.gate._stop_listening()
    await on.go_on(4)


async def pacs_is_away(on: Watched) -> None:
    """For an hour, with a STAT upload; nobody looks at one that is held."""
    on.gate.pacs.down = True
    person = await on.gate.person()
    await send(on.gate, person, *toys(1), study_metadata={"priority": "stat"})
    await send(on.gate, person, Toy("1.1"), Toy("1.2", patient_id="P2", birth_date="19800101"))
    await on.go_on(16)
    await on.gate.gateway.telling.delays.run_once()
    await on.skip(46)


async def pacs_refuses_us_and_the_purge_stands_still(on: Watched) -> None:
    on.gate.pacs.refuses_us = True
    await send(on.gate, await on.gate.person(), *toys(1))
    await on.go_on(22)


async def instances_are_bad_and_nobody_takes_the_message(on: Watched) -> None:
    await send(on.gate, await on.gate.person(), Toy("1.1", verdict="reject"))
    await on.go_on(12)


async def disks_and_trail_fill_and_somebody_guesses_passwords(on: Watched) -> None:
    for name in ("ann", "bob"):
        await on.gate.init((await on.gate.person(name)).token, [4_100_000])
    on.gate.ledger.reserve.release()  # type: ignore[attr-defined] # what the writer does when SQLite finds no room

    def act(tx: Any) -> None:
        for _ in range(1001):
            tx.audit.append("audit.read", at=1.0, actor="a")

    async def guess() -> None:
        for _ in range(24):
            await on.gate.ask("POST", "/auth/login", json={"username": "maria", "password": "wrong"})

    await on.gate.ledger.write(act)
    await on.go_on(12, guess)


async def everything_is_slow(on: Watched) -> None:
    lag = asyncio.create_task(scrape.watch_lag(on.gate.services.metrics))

    async def slowly() -> None:
        slow = asyncio.create_task(on.gate.ledger.write(lambda _tx: time.sleep(0.27)))
        await asyncio.sleep(0)
        time.sleep(0.27)  # the loop stands still
        await slow
        await asyncio.sleep(2 * scrape.LAG_EVERY_S)

    await on.go_on(13, slowly)
    lag.cancel()


@dataclass(frozen=True)
class Fault:
    """What happens, and the alerts that are to come of it."""

    happens: Callable[[Watched], Awaitable[None]]
    alerts: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


FAULTS = [
    Fault(nobody_answers, ("RelayPacsDown",)),
    Fault(
        pacs_is_away,
        ("RelayPacsEndpointDown", "RelayPacsDeliveryLate", "RelayPacsStatLate", "RelayPacsHoldOld"),
    ),
    Fault(pacs_refuses_us_and_the_purge_stands_still, ("RelayPacsEndpointMisconfigured", "RelayPacsPurgeStopped")),
    Fault(
        instances_are_bad_and_nobody_takes_the_message,
        ("RelayPacsUploadFailed", "RelayPacsMessageLost"),
        {"toml": '[delivery]\nretry_for = "5m"\n'},
    ),
    Fault(
        disks_and_trail_fill_and_somebody_guesses_passwords,
        ("RelayPacsSpoolFull", "RelayPacsDiskFull", "RelayPacsAuditBehind", "RelayPacsLoginsFail"),
        {"spool_max_bytes": 10_000_000, "sqlite": True},
    ),
    Fault(everything_is_slow, ("RelayPacsLedgerSlow", "RelayPacsLoopLate")),
]


def test_there_is_a_fault_for_each_alert() -> None:
    known = re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8"))
    assert sorted(alert for fault in FAULTS for alert in fault.alerts) == sorted(known)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.happens.__name__)
async def test_alerts_fire_because_of_their_fault_and_not_before(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape, "LAG_EVERY_S", 0.01)
    options = {"audit_file": str(tmp_path / "audit.jsonl")} | fault.options
    async with listening() as receiver:
        receiver.statuses = [503] * 1000
        toml = f'{receiver.toml()}[metrics]\ntoken = "{TOKEN}"\n{options.pop("toml", "")}'
        async with gateway_app(tmp_path, toml=toml, **options) as gate:
            on = Watched(gate)
            await gate.purge()
            await on.look()
            await fault.happens(on)
            assert on.verdict(fault.alerts, tmp_path) == ""
