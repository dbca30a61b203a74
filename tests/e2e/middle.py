"""A line between a client and a gateway, over which so many bytes pass before something happens to it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_BLOCK_BYTES = 64 * 1024


@dataclass
class Middle:
    """Passes bytes on, both ways; each connection of a client is one to the gateway.

    :param behind: the gateway's port.
    :param acts: count of bytes from clients -> what happens then, once; connections are cut afterwards.
    :param stands_after: count of bytes from clients after which nothing more passes until `goes_on` is set.
    """

    behind: int
    acts: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    stands_after: int | None = None
    goes_on: threading.Event = field(default_factory=threading.Event)
    passed: int = 0
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: set[socket.socket] = field(default_factory=set)
    _pairs: list[threading.Thread] = field(default_factory=list)

    def _pass_on(self, source: socket.socket, sink: socket.socket, *, counted: bool) -> None:
        """Until one side ends."""
        with contextlib.suppress(OSError):
            while data := source.recv(_BLOCK_BYTES):
                if counted and self.stands_after is not None and self.passed >= self.stands_after:
                    self.goes_on.wait()
                sink.sendall(data)
                if counted:
                    self._count(len(data))
        _end(source, sink)

    def _count(self, size: int) -> None:
        with self._lock:
            self.passed += size
            if self.acts and self.passed >= self.acts[0][0]:
                self.acts.pop(0)[1]()
                _end(*self._open)

    def take(self, client: socket.socket) -> None:
        """A new connection."""
        pair = threading.Thread(target=self._serve, args=(client,))
        self._pairs.append(pair)
        pair.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                gateway = socket.create_connection(("127.0.0.1", self.behind), timeout=60)
            except OSError:  # it is down: the client sees a connection that ends at once
                return
            with gateway:
                with self._lock:
                    self._open |= {client, gateway}
                back = threading.Thread(target=self._pass_on, args=(gateway, client), kwargs={"counted": False})
                back.start()
                self._pass_on(client, gateway, counted=True)
                back.join()
                with self._lock:
                    self._open -= {client, gateway}

    def end(self) -> None:
        """Every connection ends."""
        self.goes_on.set()
        with self._lock:
            _end(*self._open)
        for pair in self._pairs:
            pair.join()


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def middle(
    behind: int, acts: list[tuple[int, Callable[[], None]]], *, stands_after: int | None = None
) -> Iterator[Middle]:
    """It listens at `port`."""
    one = Middle(behind, acts, stands_after)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one.port = int(listening.getsockname()[1])

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    one.take(listening.accept()[0])

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield one
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            listener.join()
            one.end()
