"""Connections that stand before there is something to send: a round trip less for each, and three where it is TLS.

While the main thread says who sends and opens the upload, each scout asks what the gateway's tus can do. That is one question
that needs an answer anyway, and leaves a connection for each of the first pieces.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable

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

    def go(self, wanted: Callable[[], int]) -> None:
        """So many connections stand afterwards.

        :param wanted: how many; is asked now, and again when the first of them stands and tells how far the gateway is.
        """
        count = wanted()
        self._send(count)

        def more() -> None:
            self._http.await_first_connection(_ANSWER_WITHIN_S)
            self._send(wanted() - count)  # the others are still waiting for their answers

        threading.Thread(target=more, name="scouts", daemon=True).start()

    def _send(self, count: int) -> None:
        for number in range(count):
            threading.Thread(target=self._go, name=f"scout-{number}", daemon=True).start()

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
