"""The loads. Each is one measured run against one server and gives its figures by name."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, Self

from bench.client import Refused, Tus
from bench.measure import Cpu, Tree, own_cpu
from bench.payload import Part, Payload, Series, opaque

GIB = 1 << 30
#: Bodies that are open at once from one address: the gateway takes 128 requests of a client at once, and has 64
#: connections of an address that have shown no token yet (a head may wait 0.2 s in the kernel for its body).
OF_ONE_ADDRESS = 50
#: How long after the last of its work what a server holds is looked at.
RESTS_S = 0.5
Figures = dict[str, float]


class TusServer(Protocol):
    """What a load needs of a server."""

    @property
    def tree(self) -> Tree: ...

    def open(self, files: int, size_bytes: int, /) -> tuple[str, str | None]:
        """Creation URL and bearer token for so many files of so many bytes in all."""


@dataclass
class Meter:
    """What a run costs. `with meter:` around what the client does."""

    tree: Tree
    figures: Figures = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.tree.reset_peak()
        self.figures["rss_before_mib"] = self.tree.rss_mib()
        self._own, self._cpu, self._waits = own_cpu(), self.tree.cpu(), self.tree.waits()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        wall_s = time.perf_counter() - self._began
        at_end = self.tree.cpu() - self._cpu
        self.figures |= {
            "wall_s": wall_s,
            "client_cpu_s": (own_cpu() - self._own).total_s,
            "cpu_during_s": at_end.total_s,
            "waits": self.tree.waits() - self._waits,
        }
        if error[0] is not None:
            return
        cpu = self.tree.settled_cpu() - self._cpu  # what is still to be done for these bytes counts
        self.figures |= _cpu_figures(cpu)
        self.figures["rss_peak_mib"] = self.tree.peak_mib()
        time.sleep(RESTS_S)
        self.figures["pss_after_mib"] = self.tree.pss_mib()

    def per(self, name: str, amount: float) -> None:
        """Add the CPU-seconds per so much."""
        self.figures[f"cpu_s_per_{name}"] = self.figures["cpu_s"] / amount


def _cpu_figures(cpu: Cpu) -> Figures:
    return {"cpu_s": cpu.total_s, "user_s": cpu.user_s, "system_s": cpu.system_s}


def stream(server: TusServer, payload: Payload, size: int, piece: int) -> Figures:
    """One file of `size` bytes in PATCHes of `piece` bytes."""
    tus = Tus(*_args(server, payload, 1, size))
    meter = Meter(server.tree)
    with meter:
        path = tus.create(size, "stream")
        for at in range(0, size, piece):
            tus.append(path, at, Part(b"", min(piece, size - at), at))
    tus.close()
    meter.figures["mb_s"] = size / 1e6 / meter.figures["wall_s"]
    meter.per("gib", size / GIB)
    return meter.figures


@dataclass(frozen=True, slots=True)
class Study:
    """Many small files.

    :param whole: each in one request (creation-with-upload), else POST and PATCH.
    :param dicom: valid instances, else random bytes.
    """

    files: int
    size: int
    connections: int
    whole: bool
    dicom: bool = False

    def parts(self) -> list[Part]:
        """The bodies."""
        if not self.dicom:
            return [opaque(self.size, number) for number in range(self.files)]
        series = Series(self.size)
        return [series.instance(number) for number in range(self.files)]


def study(server: TusServer, payload: Payload, wish: Study) -> Figures:
    """All files of a study over several connections."""
    parts = wish.parts()
    url, token = server.open(wish.files, sum(part.size for part in parts))
    waits: list[float] = []

    def send(tus: Tus, number: int) -> None:
        began = time.perf_counter()
        send_file(tus, number, parts[number], whole=wish.whole)
        waits.append(time.perf_counter() - began)

    meter = Meter(server.tree)
    with meter:
        in_parallel(lambda: Tus(url, payload, token), send, wish.files, wish.connections)
    meter.figures["files_s"] = wish.files / meter.figures["wall_s"]
    meter.figures["mb_s"] = sum(part.size for part in parts) / 1e6 / meter.figures["wall_s"]
    meter.figures |= _percentiles("file", waits)
    meter.figures["waits_per_file"] = meter.figures["waits"] / wish.files
    meter.per("1000_files", wish.files / 1000)
    meter.per("gib", sum(part.size for part in parts) / GIB)
    return meter.figures


def send_file(tus: Tus, number: int, part: Part, *, whole: bool) -> None:
    """One file, in one request or two."""
    if whole:
        tus.create(part.size, f"f{number}", part)
    else:
        tus.append(tus.create(part.size, f"f{number}"), 0, part)


class Closes(Protocol):
    """A connection of a worker."""

    def close(self) -> None:
        """Its end."""


def in_parallel(connect: Callable[[], Closes], act: Callable[..., None], count: int, workers: int) -> None:
    """`act(connection, number)` for each number, by so many threads. :raises Refused: the first error of any."""
    numbers: Iterator[int] = iter(range(count))
    errors: list[Exception] = []

    def work() -> None:
        connection = connect()
        try:
            for number in numbers:  # a range's iterator is advanced under the interpreter's lock
                act(connection, number)
        except (Refused, OSError) as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise Refused(str(errors[0]))


@dataclass(frozen=True, slots=True)
class Slow:
    """Open bodies that get a little now and then."""

    uploads: int
    pieces: int
    piece: int = 4096
    interval_s: float = 1.0


def slow(server: TusServer, payload: Payload, wish: Slow) -> Figures:
    """Many PATCHes that are open at once; memory is read when all but one piece has come."""
    size = wish.piece * wish.pieces
    url, token = server.open(wish.uploads, size * wish.uploads)
    sources = [f"127.0.1.{1 + number // OF_ONE_ADDRESS}" for number in range(wish.uploads)]
    bodies = [Tus(url, payload, token, source) for source in sources]
    maker = Tus(url, payload, token)
    probe = _Probe(url, payload)
    held_mib = 0.0
    meter = Meter(server.tree)
    with meter:
        for number, tus in enumerate(bodies):
            path = maker.create(size, f"slow{number}")
            tus.begin_append(path, size)
        began = time.perf_counter()
        probe.start()
        for piece in range(wish.pieces):
            for number, tus in enumerate(bodies):
                _sleep_until(began + (piece + number / wish.uploads) * wish.interval_s)
                tus.connection.trickle(wish.piece)
            if piece == wish.pieces - 2:
                held_mib = server.tree.rss_mib()
        for tus in bodies:
            tus.end_append(size)
        probe.stop()
    for tus in (maker, *bodies):
        tus.close()
    figures = meter.figures
    figures["rss_held_mib"] = held_mib
    figures["kib_per_upload"] = (held_mib - figures["rss_before_mib"]) * 1024 / wish.uploads
    figures |= _percentiles("probe", probe.waits)
    return figures


class _Probe:
    """Somebody else who asks the server for something small twenty times a second."""

    def __init__(self, url: str, payload: Payload) -> None:
        self.waits: list[float] = []
        self._tus = Tus(url, payload)
        self._path = "/" + url.split("/", 3)[3]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._tus.close()

    def _ask(self) -> None:
        while not self._over.wait(0.05):
            began = time.perf_counter()
            self._tus.connection.request("OPTIONS", self._path)
            self.waits.append(time.perf_counter() - began)


def _sleep_until(moment: float) -> None:
    left_s = moment - time.perf_counter()
    if left_s > 0:
        time.sleep(left_s)


def _args(server: TusServer, payload: Payload, files: int, size: int) -> tuple[str, Payload, str | None]:
    url, token = server.open(files, size)
    return url, payload, token


def _percentiles(name: str, waits: list[float]) -> Figures:
    if not waits:
        return {}
    waits = sorted(waits)
    return {
        f"{name}_p50_ms": waits[len(waits) // 2] * 1e3,
        f"{name}_p99_ms": waits[int(len(waits) * 0.99)] * 1e3,
    }
