"""The app, built from `pwa/` to `gateway/web/static`, where the gateway and its wheel take it from.

`python -m tools.app FOLDER` builds it, unless it is there and as new as its sources, with the Node.js of FOLDER.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools import node

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "pwa"
BUILT = ROOT / "gateway" / "web" / "static"

_STAMP = BUILT / ".built"  # made at the end: a build that broke off counts for nothing


class NotBuiltError(Exception):
    """The app isn't there and can't be made."""


def is_built() -> bool:
    """Whether the app is there; in a clone also that none of its sources is newer."""
    if not (SOURCES / "package.json").is_file():  # what was made from a clone has the app without its sources
        return (BUILT / "index.html").is_file()
    return _STAMP.is_file() and all(path.stat().st_mtime <= _STAMP.stat().st_mtime for path in _sources())


def build(folder: Path) -> None:
    """Build it with a Node.js that is put into `folder`, unless it is built.

    :raises NotBuiltError: there are no sources, or no Node.js, or what npm says.
    """
    if is_built():
        return
    if not (SOURCES / "package.json").is_file():
        raise NotBuiltError("the app is missing: neither gateway/web/static nor its sources in pwa/ are here")
    try:
        node.provide(folder)
    except node.NoNodeError as error:
        raise NotBuiltError(f"the app can't be built: {error}") from None
    npm = folder.absolute() / "npm"
    for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        if subprocess.run([npm, *command], cwd=SOURCES, check=False).returncode:
            raise NotBuiltError(f"the app can't be built: `npm {' '.join(command)}` failed in pwa/")
    _STAMP.touch()


def _sources() -> Iterator[Path]:
    yield from (path for path in SOURCES.iterdir() if path.is_file())
    for folder in ("src", "public"):
        yield from (path for path in (SOURCES / folder).rglob("*") if path.is_file())


if __name__ == "__main__":
    try:
        build(Path(sys.argv[1]))
    except NotBuiltError as error:
        sys.exit(str(error))
