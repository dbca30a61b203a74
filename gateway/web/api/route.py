"""One line of the table of routes."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.web.api.operation import Operation
from gateway.web.bearer import Opens
from gateway.web.errors import Handler


@dataclass(frozen=True, slots=True)
class Route:
    """What there is, who does it, who it opens to, and what is said of it."""

    method: str
    path: str
    handler: Handler
    opens: frozenset[Opens]
    does: Operation
