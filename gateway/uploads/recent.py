"""Files as their last commit has left them a moment ago: the next append doesn't ask for what this process wrote itself.

Only its lease writes to a file, so an offset that stands here is the present one; who is fenced off has held it for
longer than anything stands here. What may have become of its upload
meanwhile is asked again by the commit of the bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from gateway.clock import Clock
from gateway.ledger.rows import Dialect
from gateway.uploads.seen import Seen

#: How long a file is known, and how many at most.
KNOWN_FOR_S, KNOWN = 1.0, 4096


class Recent:
    """Those of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Seen]] = OrderedDict()

    def note(self, seen: Seen) -> Seen:
        """A commit has left a file so. One that is whole takes no more bytes and isn't kept; nor is a part, which may come
        into another upload at any moment.
        """
        file_id = seen.file.file_id
        if seen.file.whole_at is not None or seen.file.dialect is Dialect.PART:
            self._known.pop(file_id, None)
            return seen
        self._known[file_id] = self._clock.monotonic(), replace(seen, fresh=False) if seen.fresh else seen
        self._known.move_to_end(file_id)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return seen

    def get(self, file_id: str) -> Seen | None:
        """The file, if it is known."""
        at, seen = self._known.get(file_id, (0.0, None))
        if seen is None or self._clock.monotonic() - at > KNOWN_FOR_S:
            self._known.pop(file_id, None)
            return None
        return seen

    def forget(self, file_id: str) -> None:
        """Something else may have become of it."""
        self._known.pop(file_id, None)
