"""A client on a line of a certain width."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.lab import OCTETS, Http, metadata_header

_PIECE_BYTES = 16_384
AT_ONCE = 4


class Line:
    """So many bytes a second, over all connections together."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def carry(self, data: bytes) -> Iterator[bytes]:
        """Piece by piece, each when the line has carried it."""
        for start in range(0, len(data), _PIECE_BYTES):
            piece = data[start : start + _PIECE_BYTES]
            with self._lock:
                self._free_at = max(self._free_at, time.monotonic()) + len(piece) / self._bytes_per_s
                wait_s = self._free_at - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)  # the line's own time
            yield piece


def send_over(line: Line, client: Http, files: Sequence[bytes]) -> None:
    """Every file whole, a few at once, each in the request that makes it."""

    def put(numbered: tuple[int, bytes]) -> None:
        number, data = numbered
        headers = {
            "Upload-Length": str(len(data)),
            "Upload-Metadata": metadata_header({"file_id": f"f{number}"}),
            "Content-Type": OCTETS,
            "Content-Length": str(len(data)),
        }
        made = client.tus("POST", "/files/", line.carry(data), headers).expect(201)
        assert made.offset == len(data)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(put, enumerate(files)))
