"""The tus loads: the gateway and its peers in turn, round for round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench import loads, machine, peers
from bench.loads import Figures
from bench.measure import Tree, counted_syncs, counting_syncs, sync_file_system
from bench.payload import Payload
from bench.report import Column, Comparison, brief
from bench.servers import Gateway, Node

MIB = 1 << 20

_COSTS = (
    Column("user_s", "user s", 2),
    Column("system_s", "system s", 2),
    Column("cpu_during_s", "of both until the last answer s", 2),
    Column("rss_peak_mib", "RSS peak MiB"),
    Column("pss_after_mib", "PSS after MiB"),
    Column("client_cpu_s", "client CPU s", 2),
)
_STREAM = (Column("mb_s", "MB/s"), Column("cpu_s_per_gib", "CPU-s per GiB", 2), *_COSTS)
_STUDY = (
    Column("files_s", "files/s"),
    Column("mb_s", "MB/s"),
    Column("cpu_s_per_1000_files", "CPU-s per 1000", 2),
    Column("cpu_s_per_gib", "CPU-s per GiB", 2),
    Column("file_p50_ms", "p50 ms"),
    Column("file_p99_ms", "p99 ms"),
    Column("syncs_per_file", "syncs per file", 2),
    Column("waits_per_file", "waits of threads per file", 1),
    *_COSTS,
)
_SLOW = (
    Column("rss_held_mib", "RSS held MiB"),
    Column("rss_before_mib", "RSS before MiB"),
    Column("kib_per_upload", "KiB per upload"),
    Column("cpu_s", "CPU s", 2),
    Column("probe_p50_ms", "other request p50 ms", 1),
    Column("probe_p99_ms", "p99 ms", 1),
)
#: A body that is held whole is no stream.
_NOT_OF = {"floor": ("stream", "pieces")}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much."""

    rounds: int
    stream: int
    files: int
    slow: int
    slow_pieces: int
    instances: int
    file_size: int = 512 << 10
    piece: int = 8 * MIB
    connections: int = 16

    def __str__(self) -> str:
        return (
            f"Medians of {self.rounds} interleaved runs; stream {self.stream // MIB} MiB, "
            f"{self.files} files of {self.file_size >> 10} KiB over {self.connections} connections, "
            f"{self.slow} slow bodies, {self.instances} instances delivered."
        )


class Server(Protocol):
    """One of those that are compared.

    :ivar durable: its answers come after its bytes are on the disk.
    """

    name: str
    durable: bool

    @property
    def tree(self) -> Tree: ...

    def open(self, files: int, size_bytes: int, /) -> tuple[str, str | None]:
        """Creation URL and bearer token for so many files of so many bytes in all."""

    def clear(self) -> None:
        """All that it stored goes, or its bytes."""

    def stop(self) -> None:
        """Its end."""


def tus_loads(
    folder: Path, payload: Payload, sizes: Sizes, names: Sequence[str], say: Callable[[str], None]
) -> Iterator[Comparison]:
    """Each load that was asked for, gateway and peers in turn."""
    plan = _plan(payload, sizes)
    if not any(name in plan for name in names):
        return
    with ExitStack() as stack:
        servers = [*_servers(folder, payload, stack), *_peers(folder, stack, say)]
        for name in names:
            if name in plan:
                comparison, run = plan[name]
                asked = [server for server in servers if name not in _NOT_OF.get(server.name, ())]
                _rounds(comparison, asked, run, sizes.rounds, folder, say)
                if comparison.columns is _STUDY:
                    _count_syncs(comparison, [one.name for one in asked], payload, run, sizes.files, folder)
                yield comparison


def _peers(folder: Path, stack: ExitStack, say: Callable[[str], None]) -> list[Server]:
    """Those that are here, running until the stack ends."""
    found, missing = peers.found(folder)
    for why in missing:
        say(why)
    for peer in found:
        stack.callback(peer.stop)
    return list(found)


def _servers(folder: Path, payload: Payload, stack: ExitStack) -> list[Server]:
    """Gateway and peer, running until the stack ends."""
    gateway = Gateway(folder / "gateway", payload)
    stack.callback(gateway.stop)
    node = Node(folder / "node")
    stack.callback(node.stop)
    return [gateway, node]


def slow(folder: Path, payload: Payload, sizes: Sizes, say: Callable[[str], None]) -> Comparison:
    """Fresh servers for each round: memory that an earlier load has left would hide what a body takes."""
    title = f"{sizes.slow} open bodies, 4 KiB a second each"
    comparison = Comparison("slow", title, _SLOW, "rss_held_mib", "node")
    for number in range(sizes.rounds):
        with ExitStack() as stack:
            for server in _servers(folder / f"slow{number}", payload, stack):
                figures = loads.slow(server, payload, loads.Slow(sizes.slow, sizes.slow_pieces))
                comparison.add(server.name, figures)
                say(f"slow {server.name} " + brief(figures))
    return comparison


def _plan(payload: Payload, sizes: Sizes) -> dict[str, tuple[Comparison, Callable[[loads.TusServer], Figures]]]:
    count, size, connections = sizes.files, sizes.file_size, sizes.connections

    def small(whole: bool, dicom: bool) -> Callable[[loads.TusServer], Figures]:
        wish = loads.Study(count, size, connections, whole=whole, dicom=dicom)
        return lambda server: loads.study(server, payload, wish)

    def one(name: str, title: str, columns: Sequence[Column]) -> Comparison:
        return Comparison(name, title, columns, columns[0].figure, "node", ("tusd", "rustus", "floor"))

    per = f"{count} files of {size >> 10} KiB over {connections} connections"
    return {
        "stream": (
            one("stream", f"One stream of {sizes.stream // MIB} MiB, one PATCH", _STREAM),
            lambda server: loads.stream(server, payload, sizes.stream, sizes.stream),
        ),
        "pieces": (
            one("pieces", f"The same in PATCHes of {sizes.piece // MIB} MiB", _STREAM),
            lambda server: loads.stream(server, payload, sizes.stream, sizes.piece),
        ),
        "study": (one("study", f"{per}, POST and PATCH", _STUDY), small(whole=False, dicom=False)),
        "cwu": (one("cwu", f"{per}, creation-with-upload", _STUDY), small(whole=True, dicom=False)),
        "cwu-dicom": (
            one("cwu-dicom", f"{per}, creation-with-upload, valid DICOM (the gateway validates it)", _STUDY),
            small(whole=True, dicom=True),
        ),
    }


def _rounds(
    comparison: Comparison,
    servers: Sequence[Server],
    run: Callable[[loads.TusServer], Figures],
    rounds: int,
    folder: Path,
    say: Callable[[str], None],
) -> None:
    """One round that isn't counted, then the rounds."""
    for number in range(-1, rounds):
        machine.fill_page_cache(folder)
        for server in servers:
            sync_file_system(folder)  # nobody pays for what another left
            figures = run(server)
            synced_s = sync_file_system(folder)
            server.clear()
            if number < 0:
                continue
            comparison.add(server.name, figures)
            say(f"{comparison.name} {server.name} " + brief(figures))
            if not server.durable and "mb_s" in figures:
                comparison.add(f"{server.name} + sync", _slower(figures, synced_s))


def _count_syncs(
    comparison: Comparison,
    names: Sequence[str],
    payload: Payload,
    run: Callable[[loads.TusServer], Figures],
    files: int,
    folder: Path,
) -> None:
    """One more run of fresh servers, which strace watches; nothing else of it counts."""
    kinds: dict[str, Callable[[Path, Sequence[str]], Server]] = {
        Gateway.name: lambda place, under: Gateway(place, payload, under=under),
        Node.name: Node,
        **{kind.name: kind for kind in peers.KINDS},
    }
    for name in names:
        place = folder / f"{comparison.name}-{name}-counted"
        log = folder / f"{comparison.name}-{name}.syncs"
        under = counting_syncs(log)
        if not under:
            return
        server = kinds[name](place, under)
        try:
            run(server)
        finally:
            server.stop()
        comparison.counted[name] = {"syncs_per_file": counted_syncs(log) / files}
        machine.give_room_back(place)


def _slower(figures: Figures, more_s: float) -> Figures:
    """The rates of a run that took longer; the cost of syncing is the kernel's and counted to nobody."""
    wall_s = figures["wall_s"] + more_s
    share = figures["wall_s"] / wall_s
    return {"wall_s": wall_s, "sync_s": more_s} | {
        name: figures[name] * share for name in ("files_s", "mb_s") if name in figures
    }
