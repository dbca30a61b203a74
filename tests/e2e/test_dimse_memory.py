"""A large instance by C-STORE needs no more memory than a small one."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hooks.contract import Instance, OutcomeKind
from hooks.targets.dimse.target import DimseTarget
from hooks.targets.dimse.wire import Peer
from tests import scale
from tests.dicom_samples import as_instance, header, instance
from tests.e2e.dicom_peers import storescp

pytestmark = [pytest.mark.root, pytest.mark.heavy]

ROOT = Path(__file__).parents[2]
SIZE_BYTES = scale.count(256 << 20, 2560 << 20)
MOST_GROWTH_BYTES = 48 << 20


class Endless:
    """A head with the header of its pixels, and zeros up to a size: an instance that nobody has to hold."""

    def __init__(self, head: bytes, size_bytes: int) -> None:
        self._head = head
        self._size_bytes = size_bytes

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        size = min(size, self._size_bytes - offset)
        return (self._head[offset : offset + size]).ljust(size, b"\0")

    def close(self) -> None:
        pass


def send(port: int, size_bytes: int) -> None:
    """In a process of its own: prints by how many bytes it grew."""
    small = as_instance(instance())
    head = instance(rows=1024, columns=1024, without=[0x7FE00010])
    head += header(0x7FE00010, "OB", size_bytes - len(head) - 12)
    target = DimseTarget(Peer("127.0.0.1", port, "STORESCP", "RELAYPACS"))
    assert target.deliver([small], lambda: False)[small.instance_id].kind is OutcomeKind.STORED
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    large = Instance(
        "large", small.sop_class_uid, small.sop_instance_uid, small.study_instance_uid, small.series_instance_uid,
        size_bytes, "", lambda: Endless(head, size_bytes),
    )  # fmt: skip
    assert target.deliver([large], lambda: False)["large"].kind is OutcomeKind.STORED
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)


def test_a_large_instance_is_sent_in_little_memory(tmp_path: Path) -> None:
    with storescp(tmp_path / "in", "--ignore", "-pdu", "131072") as peer:
        words = f"from tests.e2e.test_dimse_memory import send; send({peer.port}, {SIZE_BYTES})"
        done = subprocess.run(
            [sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
        )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MOST_GROWTH_BYTES
