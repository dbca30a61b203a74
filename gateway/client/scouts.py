"""Connections that stand before there is something to send: a round trip less for each, and three where it is TLS.

While the main thread says who sends and opens the upload, each scout asks what the gateway's tus can do. That is one question
that needs an answer anyway, and leaves a connection for each of the first pieces.
"""

from __future__ import annotations

import contextlib
import queue
import threading

from gateway.client import uploads
from gateway.client.errors import SendFault, TryAgain
from gateway.client.http import GatewayHttp
from gateway.client.retry import RetryPolicy

_ANSWER_WITHIN_S = 10.0


class Scouts:
    """They go at once, and nobody waits for them who needs no answer."""

    def __init__(self, http: GatewayHttp) -> None:
        self._http = http
        self._answers: queue.SimpleQueue[bool | None] = queue.SimpleQueue()
        self._joins: bool | None = None
        self._count = 0

    def go(self, count: int) -> None:
        """As many as are missing for there to be so many."""
        for number in range(self._count, count):
            threading.Thread(target=self._go, name=f"scout-{number}", daemon=True).start()
        self._count = max(self._count, count)

    def _go(self) -> None:
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
