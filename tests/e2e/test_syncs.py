"""Small files that come together share their syncs: counted at the system's door, over the whole process tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.loads import Study, study
from bench.measure import Tree, counted_syncs, counting_syncs
from bench.payload import Payload
from tests import scale
from tests.e2e.lab import Http, Lab, Pacs, running_lab

pytestmark = pytest.mark.root

FILES, SIZE = scale.count(320, 500), 128 << 10


class Serving:
    """The gateway, as a load wants it."""

    def __init__(self, lab: Lab, who: Http) -> None:
        self.tree = Tree(lab.pid)
        self._lab = lab
        self._who = who

    def open(self, files: int, size_bytes: int, /) -> tuple[str, str | None]:
        wish = {"study_metadata": {}, "total_files": files, "total_size_bytes": size_bytes}
        opened = self._who.call("POST", "/upload/init", wish).expect(201).json
        return f"{self._lab.url}/files/", opened["upload_token"]


def syncs_per_file(folder: Path, connections: int, files: int, *, whole: bool) -> float:
    log = folder / "syncs"
    with running_lab(folder / "gateway", Pacs("http://127.0.0.1:9/dicom-web"), serving=False) as lab:
        lab.start(under=counting_syncs(log))
        serving, payload = Serving(lab, lab.login()), Payload()
        study(serving, payload, Study(files, SIZE, connections, whole=whole))
        lab.stop()
    return counted_syncs(log) / files


@pytest.mark.timing
@pytest.mark.parametrize("whole", [True, False], ids=["creation-with-upload", "POST and PATCH"])
def test_sixteen_connections_share_them(tmp_path: Path, whole: bool) -> None:
    """Data, ledger and audit file together, start and end too; a busy machine has larger groups, never smaller ones."""
    assert syncs_per_file(tmp_path, 16, FILES, whole=whole) < 1.0


def test_one_connection_has_its_own(tmp_path: Path) -> None:
    """The control: without anybody to share with, a file's bytes and its row are a sync each."""
    assert syncs_per_file(tmp_path, 1, 20, whole=True) >= 2.0
