"""The body of a STOW-RS request as a file of known length that is read on demand (PS3.18 section 10.5.1).

Each instance's bytes pass through untouched and are never held whole. The boundary is random for every body: with a
fixed one, a crafted private element ends its own part and begins another patient's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence

from hooks.contract import Instance, Source, SourceBroke, Stopped

MIB = 2**20


class StowBody:
    """`read(n)` and `len()`: what urllib3 needs to send it with Content-Length. For one attempt only.

    :param stop: asked before each read of at most 1 MiB; True raises `Stopped` in it.
    :ivar failure: what a source, or `stop`, raised; an HTTP library may wrap it in its own.
    :ivar finished: every byte was handed out.
    """

    def __init__(self, batch: Sequence[Instance], stop: Callable[[], bool]) -> None:
        self.boundary = secrets.token_hex(16)
        self.failure: Exception | None = None
        self.finished = False
        self._stop = stop
        self._part_head = f"--{self.boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._end = f"--{self.boundary}--\r\n".encode()
        overhead = len(self._part_head) + len(b"\r\n")
        self._size_bytes = sum(overhead + instance.size_bytes for instance in batch) + len(self._end)
        self._source: Source | None = None
        self._walk = self._fill(batch)
        self._block = memoryview(b"")  #: what is handed out lies here, the next as this one
        self._room = self._block  #: of it, what is to be filled

    @property
    def content_type(self) -> str:
        """Value of the request's Content-Type."""
        return f'multipart/related; type="application/dicom"; boundary={self.boundary}'

    def __len__(self) -> int:
        return self._size_bytes

    def read(self, size: int = -1) -> memoryview:
        """Up to `size` bytes, at most 1 MiB; empty at the end. They are good until the next are asked for.

        :raises Stopped: `stop` said so.
        :raises SourceBroke: a source is shorter or longer than declared.
        """
        most = min(size, MIB) if size >= 0 else MIB
        if len(self._block) < most:
            self._block = memoryview(bytearray(most))
        done = 0
        try:
            if self._stop():
                raise Stopped
            while done < most:
                self._room = self._block[done:most]
                filled = next(self._walk, 0)
                if not filled:
                    break
                done += filled
        except Exception as error:
            self.failure = error
            self.close()
            raise
        return self._block[:done]

    def close(self) -> None:
        """Close the source that is open, if any."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _fill(self, batch: Sequence[Instance]) -> Iterator[int]:
        """Fills `self._room`, which is another one each time, from its beginning on; how many bytes."""
        for instance in batch:
            yield from self._text(self._part_head)
            yield from self._bytes_of(instance)
            yield from self._text(b"\r\n")
        yield from self._text(self._end)
        self.finished = True

    def _text(self, text: bytes) -> Iterator[int]:
        while text:
            size = min(len(text), len(self._room))
            self._room[:size] = text[:size]
            text = text[size:]
            yield size

    def _bytes_of(self, instance: Instance) -> Iterator[int]:
        self._source = source = instance.open()
        if source.size_bytes != instance.size_bytes:
            raise SourceBroke(instance.instance_id)
        offset = 0
        while offset < instance.size_bytes:
            wanted = min(len(self._room), instance.size_bytes - offset)
            if source.readinto(offset, self._room[:wanted]) != wanted:
                raise SourceBroke(instance.instance_id)
            offset += wanted
            yield wanted
        self.close()
