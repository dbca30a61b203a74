"""The Debian packages that the tests need (debian-packages.txt), installed where that can be done without asking.

As root, or by a sudo that asks for no password; else one line says what is missing and how to get it. The tests talk
to a real PACS and watch real system calls: they fail without these, they don't skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIST = Path(__file__).with_name("debian-packages.txt")

_POLICY = Path("/usr/sbin/policy-rc.d")
_SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
_APT = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-q"]


def missing(lines: str) -> list[str]:
    """The packages of such a list of which nothing is found."""
    words = [line.split() for line in lines.splitlines() if line.strip() and not line.startswith("#")]
    return [package for package, *signs in words if not any(map(_found, signs))]


def main() -> str | None:
    """Install what is missing. :returns: what is still missing, as a sentence, or None."""
    packages = missing(LIST.read_text(encoding="utf-8"))
    if not packages:
        return None
    by_hand = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        return f"the tests need: {' '.join(packages)} (these are Debian's names)"
    if os.geteuid() == 0:
        _install(packages)
    elif (sudo := _sudo_that_asks_nothing()) is not None:
        subprocess.run([sudo, "-n", sys.executable, "-m", "tools.debian_packages"], check=False, cwd=LIST.parents[1])
    else:
        return f"the tests need: {' '.join(packages)} (on Debian and Ubuntu: sudo {by_hand})"
    still = missing(LIST.read_text(encoding="utf-8"))
    return f"the tests need: {' '.join(still)} (`{by_hand}` did not bring them)" if still else None


def _found(sign: str) -> bool:
    if sign.startswith("/"):
        return any(Path("/").glob(sign.removeprefix("/")))
    return shutil.which(sign, path=_SYSTEM_PATH) is not None


def _sudo_that_asks_nothing() -> str | None:
    sudo = shutil.which("sudo")
    if sudo is None or subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode:
        return None
    return sudo


def _install(packages: list[str]) -> None:
    print(f"installing for the tests: {' '.join(packages)}", flush=True)
    settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_service_starts():
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run([*_APT, *command], env=settings, check=False, stdin=subprocess.DEVNULL)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """No package's own service is wanted: each test starts an Orthanc for itself. A machine's own policy stays."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


if __name__ == "__main__":
    sys.exit(main())
