"""A file whose runs name entries that were sealed for others: it is read with their keys, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import Damaged
from gateway.spool import FileKey, Run, Spool
from tests.unit.spool.support import World, new_id, noise

SIZES = (200_000, 1, 70_000)


def made() -> tuple[World, Spool, dict[str, FileKey], list[Run], bytes]:
    """Three parts, each in two entries, put together; the last two again at the end."""
    world, runs, at = World(), list[Run](), 0
    spool, keys, sources = Spool(world.blobs), {}, []
    for number, size in enumerate(SIZES):
        file_id, segment_id, key = new_id(), new_id(), FileKey(noise(32, number))
        keys[file_id] = key
        writer = spool.writer(segment_id=segment_id, file_id=file_id, key=key, base_offset=0)
        own = list[Run]()
        for start, end in ((0, size // 3), (size // 3, size)):
            if end > start:
                writer.begin_run(start)
                writer.append([noise(size, number)[start:end]])
                own.append(writer.run)
        writer.sync()
        writer.close()
        sources.append((file_id, own, noise(size, number)))
    plaintext = b""
    for file_id, own, content in [*sources, *sources[1:]]:
        runs += [replace(run, start=at + run.start, source_id=file_id, source_start=run.start) for run in own]
        at += len(content)
        plaintext += content
    return world, spool, keys, runs, plaintext


def read(world: World, spool: Spool, runs: list[Run], keys: dict[str, FileKey], size: int) -> bytes:
    ids = (world.upload_id, new_id())
    source = spool.reader(runs, upload_id=ids[0], file_id=ids[1], key=world.key, size_bytes=size, sources=keys)
    source.probe()
    whole = source.read_at(0, size)
    assert b"".join(bytes(piece) for piece in source.iter_pieces(0, piece_size=3000)) == whole
    assert source.read_at(199_990, 20) == whole[199_990:200_010]
    return whole


def test_it_is_read_across_its_sources_from_any_place() -> None:
    world, spool, keys, runs, plaintext = made()
    assert read(world, spool, runs, keys, len(plaintext)) == plaintext


def test_without_the_key_of_a_source_or_with_another_ones_it_isnt() -> None:
    world, spool, keys, runs, plaintext = made()
    names = list(keys)
    others: list[dict[str, FileKey]] = [{}, keys | {names[1]: keys[names[0]]}, {name: keys[name] for name in names[1:]}]
    for wrong in others:
        with pytest.raises(Damaged):
            read(world, spool, runs, wrong, len(plaintext))


@pytest.mark.parametrize("change", ["source", "place", "own"])
def test_a_run_that_says_another_source_or_place_isnt_read(change: str) -> None:
    world, spool, keys, runs, plaintext = made()
    first = {
        "source": replace(runs[0], source_id=runs[-1].source_id),
        "place": replace(runs[0], source_start=1),
        "own": replace(runs[0], source_id=""),
    }[change]
    with pytest.raises(Damaged):
        read(world, spool, [first, *runs[1:]], keys, len(plaintext))


def test_the_keys_of_sources_open_for_their_file_alone() -> None:
    key, other = FileKey(noise(32)), FileKey(noise(32, 1))
    sealed = key.seal_sources({"a": other}, context="files|sources|x")
    assert key.open_sources(sealed, context="files|sources|x")["a"].commitment == other.commitment
    assert other.commitment not in sealed
    for opener, context in ((other, "files|sources|x"), (key, "files|sources|y")):
        with pytest.raises(Damaged):
            opener.open_sources(sealed, context=context)
