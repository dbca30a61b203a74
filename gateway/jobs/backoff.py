"""How long to wait before the next try."""

from __future__ import annotations

import random
from dataclasses import dataclass

#: A PACS may ask for more patience than that; it isn't granted.
MAX_RETRY_AFTER_S = 3600.0
_MAX_DOUBLINGS = 32


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, with full jitter: those that failed together don't come back together. Seconds."""

    base_s: float = 2.0
    cap_s: float = 300.0

    def ceiling_s(self, failures: int) -> float:
        """The longest wait after so many failures in a row."""
        return min(self.cap_s, self.base_s * 2.0 ** min(max(failures - 1, 0), _MAX_DOUBLINGS))

    def wait_s(self, failures: int, retry_after_s: float | None = None) -> float:
        """A wait after so many failures in a row; not less than what the other side asked for."""
        jitter_s = random.random() * self.ceiling_s(failures)  # noqa: S311 # spreads load, hides nothing
        return min(retry_after_s or 0.0, MAX_RETRY_AFTER_S) + jitter_s
