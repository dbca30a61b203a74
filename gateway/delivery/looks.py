"""What a PACS was seen to have, for as long as that holds good.

Whoever sends all of a study at once looks once and sends for minutes. Whoever sends it instance by instance needn't look
more often: a look holds good for the series that it was about, and not for what this gateway itself has brought there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: So long a look holds good.
HOLDS_S = 30.0


@dataclass(frozen=True, slots=True)
class _Look:
    at: float  #: monotonic seconds
    shown: Mapping[str, str]  #: SOPInstanceUID -> PatientID


@dataclass(slots=True)
class Looks:
    """The last look at each series of some studies."""

    _by_series: dict[tuple[str, str], _Look] = field(default_factory=dict)

    def note(self, study: str, series: Iterable[str], shown: Mapping[str, str], now: float) -> None:
        """The PACS has shown these of the study."""
        look = _Look(now, shown)
        for one in series:
            self._by_series[study, one] = look

    def of(self, study: str, series: Iterable[str], now: float) -> dict[str, str] | None:
        """What was there a moment ago; None: one of the series has to be looked at."""
        shown: dict[str, str] = {}
        for one in series:
            look = self._by_series.get((study, one))
            if look is None or now - look.at > HOLDS_S:
                return None
            shown |= look.shown
        return shown
