"""The composition root's third part: what the gateway tells those outside by itself. See `gateway.py`."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass

from gateway import __version__
from gateway.assembly.base import Base
from gateway.delivery.service import Delivery
from gateway.telling.metrics import Metrics
from gateway.telling.scrape import Scrape, Site, watch_lag
from gateway.telling.trail import TrailCounts


@dataclass(frozen=True, slots=True)
class Telling:
    """What tells."""

    metrics: Metrics
    trail: TrailCounts

    def timers(self) -> Iterator[Coroutine[object, object, None]]:
        """What runs by itself for as long as the gateway does."""
        yield self.trail.run()
        yield watch_lag(self.metrics)


async def open_telling(base: Base) -> Telling:
    """Counters that begin now."""
    metrics = Metrics(__version__, base.config.endpoints)
    base.ledger.time_commits(metrics.committed)
    number, _ = await base.ledger.read(lambda tx: tx.audit.head())
    return Telling(metrics, TrailCounts(base.ledger, metrics, number))


def open_scrape(base: Base, telling: Telling, delivery: Delivery) -> Scrape:
    """The answer to Prometheus."""
    site = Site(
        conditions=lambda: {name: one.name.lower() for name, (one, _) in delivery.conditions().items()},
        free_bytes=base.spool.free_bytes,
        spool_max_bytes=base.config.spool.max_bytes,
        exports=base.config.audit.file is not None,
    )
    return Scrape(base.ledger, base.clock, telling.metrics, telling.trail, site)
