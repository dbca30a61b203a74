"""`complete` said while the last parts are being joined: it waits for no answer but its own.

The gateway takes them in the order in which they come. Where `complete` comes first after all, it is refused as `incomplete`,
nothing has happened, and it is said again when the joining has been answered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gateway.client.errors import Refused, SendFault, TryAgain
from gateway.client.uploads import UploadStatus

#: For the request that joins to go first, and for what the gateway has to do for it.
HEAD_START_S = 0.01


class CompleteAhead:
    """Of one upload; says it once.

    :param ask: says it.
    """

    def __init__(self, ask: Callable[[], UploadStatus]) -> None:
        self._ask = ask
        self._thread: threading.Thread | None = None
        self._standing: UploadStatus | SendFault | None = None

    def begin(self) -> None:
        """All bytes are there, and what joins the last of them is on its way."""
        self._thread = threading.Thread(target=self._go, name="complete", daemon=True)
        self._thread.start()

    @property
    def begun(self) -> bool:
        """Whether it has been said."""
        return self._thread is not None

    def standing(self) -> UploadStatus | None:
        """What the gateway said; None: it has to be asked again.

        :raises SendFault: it won't have it.
        """
        if self._thread is not None:
            self._thread.join()
        if isinstance(self._standing, SendFault):
            raise self._standing
        return self._standing

    def _go(self) -> None:
        time.sleep(HEAD_START_S)
        try:
            self._standing = self._ask()
        except TryAgain:
            self._standing = None
        except SendFault as fault:
            is_early = isinstance(fault, Refused) and fault.code == "incomplete"
            self._standing = None if is_early else fault
