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
    """

    behind: int
    acts: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    passed: int = 0
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: set[socket.socket] = field(default_factory=set)

    def pass_on(self, source: socket.socket, sink: socket.socket, *, counted: bool) -> None:
        """Until one side ends."""
        with contextlib.suppress(OSError):
            while data := source.recv(_BLOCK_BYTES):
                sink.sendall(data)
                if counted:
                    self._count(len(data))
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _count(self, size: int) -> None:
        with self._lock:
            self.passed += size
            act = self.acts.pop(0)[1] if self.acts and self.passed >= self.acts[0][0] else None
            if act is None:
                return
            act()
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def take(self, client: socket.socket) -> None:
        """A new connection."""
        try:
            gateway = socket.create_connection(("127.0.0.1", self.behind), timeout=60)
        except OSError:  # it is down: the client sees a connection that ends at once
            client.close()
            return
        with self._lock:
            self._open |= {client, gateway}
        for source, sink, counted in ((client, gateway, True), (gateway, client, False)):
            threading.Thread(target=self.pass_on, args=(source, sink), kwargs={"counted": counted}, daemon=True).start()


@contextlib.contextmanager
def middle(behind: int, acts: list[tuple[int, Callable[[], None]]]) -> Iterator[Middle]:
    """It listens at `port`."""
    one = Middle(behind, acts)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one.port = int(listening.getsockname()[1])

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    one.take(listening.accept()[0])

        threading.Thread(target=listen, daemon=True).start()
        yield one
        listening.shutdown(socket.SHUT_RDWR)
