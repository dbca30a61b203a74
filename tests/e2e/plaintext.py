"""Looks for marker strings in every byte of some folders and files, in every encoding that a program might leave them in."""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes

_STREAM = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
_UNFOLDED_BYTES = 1 << 20
#: Room that is set aside, and holes: shortened before they are searched three hundred times.
_ZEROS, _FEW_ZEROS = re.compile(rb"\0{64,}"), bytes(64)


def encoded(marker: bytes) -> dict[str, bytes]:
    """The marker as it would look in a file. Base64 is cut to what doesn't depend on its neighbours."""
    text = marker.decode("ascii")
    forms = {
        "plain": marker,
        "utf-16le": text.encode("utf-16-le"),
        "utf-16be": text.encode("utf-16-be"),
        "hex": marker.hex().encode(),
        "percent": "".join(f"%{byte:02x}" for byte in marker).encode(),
        "quoted": quote_from_bytes(marker, safe="").encode(),
    }
    for shift in range(3):
        # Bits of foreign bytes reach into the first characters after `shift`, and into the last ones.
        whole = base64.b64encode(bytes(shift) + marker + bytes(-(shift + len(marker)) % 3))
        first = -(-shift * 8 // 6)
        last = (shift + len(marker)) * 8 // 6
        forms[f"base64+{shift}"] = whole[first:last]
    return forms


def planted(marker: bytes) -> dict[str, bytes]:
    """Bytes that hold the marker in each encoding, for a control."""
    forms = {name: form for name, form in encoded(marker).items() if not name.startswith("base64")}
    for shift in range(3):
        forms[f"base64+{shift}"] = base64.b64encode(b"\xa5" * shift + marker + b"\x5a" * 5)
    forms["HEX"] = marker.hex().upper().encode()
    forms["gzip"] = gzip.compress(b"before " + marker + b" after")
    forms["zlib"] = zlib.compress(b"before " + marker + b" after")
    return forms


@dataclass(frozen=True)
class Hit:
    marker: str
    encoding: str
    path: Path


class Scanner:
    """:param markers: name -> value; values are ASCII, and found in either case."""

    def __init__(self, markers: Mapping[str, str]) -> None:
        exact: list[tuple[str, str, bytes]] = []
        folded: list[tuple[str, str, bytes]] = []
        for name, value in markers.items():
            for encoding, form in encoded(value.encode("ascii")).items():
                if encoding.startswith("base64"):
                    exact += [(name, encoding, form), (name, encoding, form.translate(bytes.maketrans(b"+/", b"-_")))]
                else:
                    folded.append((name, encoding, form.lower()))
        self._exact = list(dict.fromkeys(exact))
        self._folded = list(dict.fromkeys(folded))

    def hits(self, places: Iterable[Path]) -> list[Hit]:
        """What is found in these files, and in all files below these folders, names included."""
        return [hit for path in _files(places) for hit in self._in_file(path)]

    def _in_file(self, path: Path) -> Iterator[Hit]:
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # purged since the folder was read
            return
        data = _ZEROS.sub(_FEW_ZEROS, data) + b"\0" + str(path).encode()
        yield from (Hit(name, encoding, path) for name, encoding in self._in_bytes(data))
        for found in _STREAM.finditer(data):
            for inner in _unfolded(data[found.start() :]):
                yield from (Hit(name, f"packed {encoding}", path) for name, encoding in self._in_bytes(inner))

    def _in_bytes(self, data: bytes) -> Iterator[tuple[str, str]]:
        lower = data.lower()
        yield from ((name, encoding) for name, encoding, form in self._exact if form in data)
        yield from ((name, encoding) for name, encoding, form in self._folded if form in lower)


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            yield from (path for path in sorted(place.rglob("*")) if path.is_file())
        else:
            yield place


def _unfolded(data: bytes) -> Iterator[bytes]:
    """What a compressed stream holds, as far as it can be read."""
    try:
        inner = zlib.decompressobj(wbits=47).decompress(data, _UNFOLDED_BYTES)
    except zlib.error:
        return
    if inner:
        yield inner
