"""The build backend (PEP 517): setuptools, with the app in every wheel and source distribution.

A source distribution holds the app as it was built: what is made from it needs no Node.js. An editable install takes
the app as the clone has it (`make install` builds it).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from setuptools import build_meta

from tools import app, node

Settings = Mapping[str, Any] | None

prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel
get_requires_for_build_editable = build_meta.get_requires_for_build_editable
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable
build_editable = build_meta.build_editable


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """What setuptools asks for, and pip where a Node.js has to be installed."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_requires_for_app()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """What setuptools asks for, and pip where a Node.js has to be installed."""
    return [*build_meta.get_requires_for_build_sdist(config_settings), *_requires_for_app()]


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """A wheel with the app in it."""
    _build_app()
    # setuptools never clears its folder: an older app's files would get into the wheel.
    shutil.rmtree(app.ROOT / "build" / "lib" / app.BUILT.relative_to(app.ROOT), ignore_errors=True)
    return str(build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """A source distribution with the app in it."""
    _build_app()
    return str(build_meta.build_sdist(sdist_directory, config_settings))


def _requires_for_app() -> list[str]:
    return [] if app.is_built() or node.machines_own() is not None else ["pip"]


def _build_app() -> None:
    """Build the app; what is in the way ends the build with one sentence."""
    with tempfile.TemporaryDirectory(prefix="relaypacs-build-") as folder:
        try:
            app.build(Path(folder) / "bin")
        except app.NotBuiltError as error:
            sys.exit(f"RelayPACS is not installed without its app, and {error}")
