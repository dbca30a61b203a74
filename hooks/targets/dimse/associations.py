"""How many associations with a PACS there are at once: as many as are wanted, or as it takes. For several threads."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

from hooks.contract import LookupRefused, TargetDown
from hooks.targets.dimse.association import Association
from hooks.targets.dimse.wire import Peer, connected

#: How long a place is waited for, and from one try to the next.
PATIENCE_S, PAUSE_S = 10.0, 0.2
#: So long a PACS may take to see that an association has ended.
NOTICED_AFTER_S = 2.0


class Associations:
    """Of one PACS. :param most: at once, at most; fewer where the PACS takes no more."""

    def __init__(self, peer: Peer, most: int) -> None:
        self._peer = peer
        self._free = threading.Condition()
        self._most = most
        self._open = 0
        self._ended_at = -NOTICED_AFTER_S  #: monotonic seconds; the last one of ours, or the last try

    @contextlib.contextmanager
    def opened(self, proposed: Sequence[tuple[str, str]]) -> Iterator[Association]:
        """One with these contexts proposed, (abstract syntax, transfer syntax); it ends with the block.

        :raises TargetDown, TargetMisconfigured: it can't be had.
        """
        association = self._request(proposed)
        try:
            yield association
        except LookupRefused:
            association.release()  # nothing is wrong with the association
            raise
        except BaseException:
            association.abort()
            raise
        else:
            association.release()
        finally:
            self._give_back()

    def _request(self, proposed: Sequence[tuple[str, str]]) -> Association:
        """A new one. Where the PACS takes no more, it is waited for one of ours to end, and remembered."""
        until = time.monotonic() + min(self._peer.answer_timeout_s, PATIENCE_S)
        while True:
            self._take_seat()
            try:
                wire = connected(self._peer)
                try:
                    return Association(wire, self._peer, proposed)
                except BaseException:
                    wire.close()
                    raise
            except TargetDown as error:
                if not self._settles_for_fewer(error, until):
                    raise
            except BaseException:
                self._give_back()
                raise

    def _take_seat(self) -> None:
        with self._free:
            self._free.wait_for(lambda: self._open < self._most)
            self._open += 1

    def _give_back(self) -> None:
        with self._free:
            self._open -= 1
            self._ended_at = time.monotonic()
            self._free.notify()

    def _settles_for_fewer(self, error: TargetDown, until: float) -> bool:
        """Gives the seat back. True: others of ours are open, or the PACS hasn't noticed yet that they ended."""
        with self._free:
            others = self._open > 1 or time.monotonic() - self._ended_at < NOTICED_AFTER_S
            self._give_back()
            if error.code != "association_limit" or not others or time.monotonic() > until:
                return False
            self._most = max(1, min(self._most, self._open))
            self._free.wait(PAUSE_S)
            return True
