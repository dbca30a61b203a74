"""The lines that senders are measured on, and what each is to need there at most, in multiples of the line's ideal."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

from tests.lines.line import Terms

#: A slice of a CT study.
SLICE_BYTES = 528_000
SLICES = 14
#: The app through a proxy, by HTTP/1.1 and by HTTP/2.
BEHIND_NGINX = ("app, nginx", "app, HTTP/2")


@dataclass(frozen=True, slots=True)
class Row:
    """A study on a line. `aims`: by client, time over the bytes' time at the line's rate."""

    name: str
    about: str
    terms: Terms
    aims: Mapping[str, float]
    files: int = SLICES
    file_bytes: int = SLICE_BYTES

    @property
    def title(self) -> str:
        return self.about if self.name.endswith("file") else f"{self.name}: {self.about}"

    def measures(self, client: str) -> bool:
        """Whether it says something about this client: what a proxy's HTTP does shows on one line as on all."""
        return self.name == "mobile" or client not in BEHIND_NGINX

    @property
    def size_bytes(self) -> int:
        return self.files * self.file_bytes

    @property
    def ideal_s(self) -> float:
        """The bytes at the line's rate."""
        return self.size_bytes / (self.terms.up_kbit * 125)

    @property
    def least_s(self) -> float:
        """Likewise, with the line's outages."""
        return self.terms.least_s(self.size_bytes)


_MOBILE = Terms(up_kbit=3000, round_trip_s=0.25, loss=0.01)
_SATELLITE = Terms(up_kbit=4000, round_trip_s=0.6, loss=0.005)
_CUTS = Terms(up_kbit=4000, round_trip_s=0.1, loss=0.002, outage_s=(15, 6))
_AWFUL = Terms(2000, 0.4, 0.03, outage_s=(20, 5))
_MOVES = Terms(4000, 0.1, 0.002, move_s=9)


def _aims(send: float, app: float) -> Mapping[str, float]:
    return {"send": send, "app": app}


def _large(name: str, about: str, terms: Terms, aims: Mapping[str, float]) -> Row:
    return Row(name, about, terms, aims, files=1, file_bytes=8 * 1024 * 1024)


ROWS = {
    row.name: row
    for row in (
        Row("dsl", "4 Mbit/s, 60 ms, 0.2 %", Terms(4000, 0.06, 0.002), _aims(1.1, 1.1)),
        Row("mobile", "3 Mbit/s, 250 ms, 1 %", _MOBILE, _aims(1.2, 1.4)),
        Row("satellite", "4 Mbit/s, 600 ms, 0.5 %", _SATELLITE, _aims(1.4, 2.0)),
        Row("cuts", "4 Mbit/s, 100 ms, 0.2 %, down 6 s of 15", _CUTS, _aims(1.8, 1.9)),
        Row("awful", "2 Mbit/s, 400 ms, 3 %, down 5 s of 20", _AWFUL, _aims(2.2, 3.2)),
        Row("moves", "4 Mbit/s, 100 ms, 0.2 %, another network every 9 s", _MOVES, _aims(2.0, 2.2)),
        _large("mobile, one file", "one file of 8 MiB on mobile", _MOBILE, _aims(1.4, 1.7)),
        _large("satellite, one file", "one file of 8 MiB on satellite", _SATELLITE, _aims(1.8, 2.5)),
    )
}

#: For every run of the tests: four slices, and an outage that comes in their middle.
SHORT = {
    "mobile": replace(ROWS["mobile"], files=4),
    "cuts": replace(ROWS["cuts"], files=4, terms=replace(_CUTS, first_outage_s=3)),
}

#: A file of a gibibyte, and twenty moves at random.
LARGE = Row(
    "gibibyte",
    "one file of 1 GiB, 100 Mbit/s, 30 ms, another network 20 times",
    Terms(100_000, 0.03, 0, moves_s=tuple(accumulate(random.Random(20).uniform(3, 5) for _ in range(20)))),
    _aims(3.0, 3.0),
    files=1,
    file_bytes=1024 * 1024 * 1024,
)
