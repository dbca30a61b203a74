"""Connections that stand before there is something to send: a round trip less for each, and three where it is TLS.

While the main thread says who sends and opens the upload, each scout asks what the gateway's tus can do. That is one question
that needs an answer anyway, and leaves a connection for each of the first pieces.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time

from gateway.client import uploads
from gateway.client.errors import SendFault, TryAgain
from gateway.client.http import GatewayHttp
from gateway.client.retry import RetryPolicy

_ANSWER_WITHIN_S = 10.0
#: The second time what has to be asked of the gateway anyway takes the connections that stand.
_LATER_S = 0.02


class Scouts:
    """They go at once, and nobody waits for them who needs no answer."""

    def __init__(self, http: GatewayHttp) -> None:
        self._http = http
        self._answers: queue.SimpleQueue[bool | None] = queue.SimpleQueue()
        self._joins: bool | None = None
        self._count = 0

    def go(self, count: int) -> None:
        """So many connections stand afterwards: all ask at once, so that each has one of its own."""
        if count > self._count:
            after_s = _LATER_S if self._count else 0.0
            for number in range(count):
                threading.Thread(target=self._go, args=(after_s,), name=f"scout-{number}", daemon=True).start()
            self._count = count

    def _go(self, after_s: float) -> None:
        time.sleep(after_s)
        try:
            self._answers.put(uploads.joins_parts(self._http, f"{self._http.base_url}/files/"))
        except (SendFault, TryAgain):
            self._answers.put(None)

    def joins_parts(self, retry: RetryPolicy, tus_url: str) -> bool:
        """Whether a file may come as several parts (tus Concatenation): older gateways don't have that."""
        if self._joins is None and tus_url == f"{self._http.base_url}/files/":
            with contextlib.suppress(queue.Empty):
                self._joins = self._answers.get(timeout=_ANSWER_WITHIN_S)
        if self._joins is None:
            self._joins = retry.persist(lambda: uploads.joins_parts(self._http, tus_url))
        return self._joins
