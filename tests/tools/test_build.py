"""The app is in what is built of a clone, or nothing is built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.commands.test_demo import running
from tools import app

ROOT = Path(__file__).parents[2]
STATIC = "gateway/web/static/"
NO_NODE = {"PATH": "/nowhere", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/nowhere"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What git has of this project, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "bench/", "docs/")):
            (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / "clone" / name)
    return tmp_path / "clone"


@pytest.fixture
def built(clone: Path) -> Path:
    """A clone in which `make install` has built the app."""
    shutil.copytree(app.BUILT, clone / STATIC)
    (clone / STATIC / ".built").touch()
    return clone


def make(what: str, source: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Ask the backend for a `wheel` or `sdist` of a source tree, as pip does; it lies in `dist` beside it."""
    code = f"from tools import build_backend; print(build_backend.build_{what}({str(source.parent / 'dist')!r}))"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=source, env=os.environ | env, capture_output=True, text=True, check=False
    )


def result(done: subprocess.CompletedProcess[str], source: Path) -> Path:
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return source.parent / "dist" / done.stdout.splitlines()[-1]


def files_of_app(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {".built"}


def served(installed: Path, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file of the app that lies in `installed`, as its gateway serves it."""
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); from gateway.cli import main; sys.exit(main())"
    with running([sys.executable, "-P", "-c", code], folder, folder / "demo") as said:
        url = said.splitlines()[0].removeprefix("listening on ")
        for name in ("", "sw.js", "manifest.webmanifest"):
            answer = requests.get(f"{url}/{name}", timeout=20)
            assert answer.status_code == 200, answer.text
            yield name or "index.html", answer.content


def test_what_is_installed_from_a_source_distribution_has_the_app_and_needs_no_node(built: Path) -> None:
    with tarfile.open(result(make("sdist", built, **NO_NODE), built)) as archive:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.2 has none
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(built.parent)
    (source,) = built.parent.glob("relaypacs-*")
    assert not (source / "pwa").exists()
    with zipfile.ZipFile(result(make("wheel", source, **NO_NODE), source)) as wheel:
        wheel.extractall(built.parent / "installed")
    assert files_of_app(built.parent / "installed" / STATIC) == files_of_app(built / STATIC)
    for name, content in served(built.parent / "installed", built.parent):
        assert content == (built / STATIC / name).read_bytes()


@pytest.mark.parametrize("what", ["wheel", "sdist"])
def test_without_the_app_and_without_node_nothing_is_built_and_the_reason_is_told(clone: Path, what: str) -> None:
    done = make(what, clone, **NO_NODE)
    assert done.returncode == 1
    reason = "RelayPACS is not installed without its app, and the app can't be built: Node.js 20.19, 22.12 or newer"
    assert done.stderr.splitlines()[-1].startswith(reason)


def test_an_app_that_is_older_than_its_sources_is_not_taken(built: Path) -> None:
    newer = (built / STATIC / ".built").stat().st_mtime + 10
    os.utime(built / "pwa" / "src" / "main.tsx", (newer, newer))
    assert make("wheel", built, **NO_NODE).returncode == 1


@pytest.mark.heavy
def test_pip_install_of_a_fresh_clone_serves_the_app(clone: Path) -> None:
    installed = clone.parent / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-build-isolation"]
    # The packages of the app are those of `make install`: npm has them at hand.
    more = {"npm_config_prefer_offline": "true"}
    done = subprocess.run(
        [*pip, "--target", str(installed), str(clone)],
        env=os.environ | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    pages = dict(served(installed, clone.parent))
    assert b'<script type="module"' in pages["index.html"] and b"__SHELL__" not in pages["sw.js"]
