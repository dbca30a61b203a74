"""What a browser fetches before the first screen, and each worker: bytes of the gzip files that the build made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

BUILT = Path(__file__).parents[2] / "gateway" / "web" / "static"
ASSETS = BUILT / "assets"
_STATIC_IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*["'`]\./([\w.-]+\.js)["'`]""")
_WORDS = re.compile(r"""import\(\s*["'`]\./((?:en|de)-[\w-]+\.js)["'`]""")


def gz_bytes(path: Path) -> int:
    packed = path.with_name(path.name + ".gz")
    return (packed if packed.exists() else path).stat().st_size


def graph(*entries: Path) -> set[Path]:
    """Scripts, and what they import before they run."""
    found: set[Path] = set()
    due = list(entries)
    while due:
        path = due.pop()
        if path not in found:
            found.add(path)
            due += [path.parent / name for name in _STATIC_IMPORT.findall(path.read_text(encoding="utf-8"))]
    return found


def first_load() -> set[Path]:
    """The page, its styles, its scripts, and the words of the language that has more of them."""
    page = BUILT / "index.html"
    linked = [
        BUILT / path for path in re.findall(r'(?:src|href)="\./(assets/[^"]+)"', page.read_text(encoding="utf-8"))
    ]
    scripts = graph(*(path for path in linked if path.suffix == ".js"))
    words = {ASSETS / name for path in scripts for name in _WORDS.findall(path.read_text(encoding="utf-8"))}
    assert {path.name[:2] for path in words} == {"en", "de"}
    return {page, *linked, *scripts, max(words, key=gz_bytes)}


def worker(sign: str) -> set[Path]:
    """The worker whose code has this text."""
    graphs = [graph(path) for path in ASSETS.glob("worker-*.js")]
    (found,) = (files for files in graphs if any(sign in path.read_text(encoding="utf-8") for path in files))
    return found


@pytest.mark.parametrize(
    ("files", "most_kb"),
    [
        pytest.param(first_load, 40, id="first load"),
        pytest.param(lambda: {BUILT / "sw.js"}, 20, id="service worker"),
        pytest.param(lambda: worker("Tus-Resumable"), 23, id="upload worker"),
        pytest.param(lambda: worker("iso-8859-"), 20, id="ingest worker"),
    ],
)
def test_what_is_fetched_stays_small(files, most_kb):
    sizes = {path.name: gz_bytes(path) for path in files()}
    assert sum(sizes.values()) <= most_kb * 1000, sizes


def test_no_script_imports_a_workers_own():
    """WebKit would run it once more: each order was stored twice, and a second engine sent beside the first."""
    importing = {path.name: _STATIC_IMPORT.findall(path.read_text(encoding="utf-8")) for path in ASSETS.glob("*.js")}
    assert any(importing.values())
    assert [name for name, imported in importing.items() if any(one.startswith("worker-") for one in imported)] == []
