"""What can be stored can be stored deflated: the same outcome, and the archive has the very file.

One file of each uncompressed transfer syntax and of each modality; with `SCALE=soak` every file of the test data and of pydicom's
wheel, and a table of what became of them.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest

from hooks.checks.scanner import scan
from hooks.contract import Accept
from tests import scale
from tests.dicom_samples import DEFLATED, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, BytesSource, instance
from tests.e2e.lab import Http, Lab, Pacs, running_lab
from tests.e2e.orthanc import PASSWORD, USER, Orthanc, running_orthanc
from tests.e2e.series import WHEEL, data_folder, sha256
from tests.e2e.test_pacs_matrix import seen
from tests.e2e.test_real_series import digests_in

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("deflated")]

#: Warnings of what DCMTK writes otherwise: the file meta, its transfer syntax too.
MENDED = frozenset({"meta_mismatch", "unknown_transfer_syntax"})
#: Larger ones take the time of many small ones, and show nothing that those don't.
MOST_BYTES = 1 << 18
LOGIN_EVERY = 100  #: files; fewer would be too many logins
OF_ONE_UID = scale.count(4, 16)  #: files of other bytes under one SOPInstanceUID, as test data has them
UNCOMPRESSED = (IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE)


@dataclass(frozen=True)
class Became:
    """Of one file in an empty archive."""

    words: str
    state: str
    warnings: tuple[str, ...]
    is_there: bool  #: its very bytes, and nothing else


def candidates() -> list[tuple[str, bytes]]:
    """Storable files by name; without `SCALE=soak` one of each uncompressed transfer syntax, and of each modality."""
    found = [(f"synthetic {syntax}", instance(transfer_syntax_uid=syntax)) for syntax in UNCOMPRESSED]
    known: set[str] = set()
    for folder in filter(None, (WHEEL, data_folder())):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            kinds = _kinds(path)
            if not scale.SOAK and (kinds <= known or path.stat().st_size > MOST_BYTES):
                continue
            data = path.read_bytes()
            if isinstance(scan(BytesSource(data)), Accept):
                known |= kinds
                found.append((str(path.relative_to(folder)), data))
    return found


def _kinds(path: Path) -> set[str]:
    """What it is one of: transfer syntax and modality; nothing of a compressed one, which DCMTK doesn't deflate."""
    try:
        head = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
    except (pydicom.errors.InvalidDicomError, EOFError, ValueError, KeyError):
        return set()
    syntax = str(head.file_meta.get("TransferSyntaxUID"))
    return {syntax, str(head.get("Modality"))} if syntax in UNCOMPRESSED else set()


def deflated(data: bytes, folder: Path) -> bytes | None:
    """By DCMTK; None: it can't, as with a compressed transfer syntax."""
    given, made = folder / "given.dcm", folder / "made.dcm"
    given.write_bytes(data)
    made.unlink(missing_ok=True)
    done = subprocess.run(["dcmconv", "-q", "+td", given, made], capture_output=True, timeout=60, check=False)
    return made.read_bytes() if done.returncode == 0 and made.exists() else None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Orthanc]]:
    """A gateway that knows one archive under many names: what it remembers of one isn't used for another."""
    folder = tmp_path_factory.mktemp("deflated")
    (folder / "orthanc").mkdir()
    with contextlib.ExitStack() as stack:
        orthanc = stack.enter_context(running_orthanc(folder / "orthanc"))
        settings: dict[str, dict[str, Any]] = {"delivery": {"retry_base": "50ms"}, "endpoints.main": {"default": True}}
        for number in range(OF_ONE_UID):
            for name in (f"plain{number}", f"deflated{number}"):
                settings[f"endpoints.{name}"] = {"kind": "dicomweb", "url": orthanc.dicomweb_url}
                settings[f"endpoints.{name}.auth"] = {"kind": "basic", "username": USER, "password": PASSWORD}
        pacs = Pacs(orthanc.dicomweb_url, USER, PASSWORD)
        yield stack.enter_context(running_lab(folder / "gateway", pacs, settings=settings)), orthanc


def sent(lab: Lab, who: Http, orthanc: Orthanc, endpoint: str, data: bytes) -> Became:
    orthanc.clear()
    upload_id, client = lab.open_upload(who, [data], endpoint_id=endpoint)
    client.create(len(data), {"file_id": "f0"}, data).expect(201)
    client.complete(upload_id).expect(200)
    status = client.status(upload_id)
    (words,) = seen(client, upload_id)
    codes = tuple(sorted({one["code"] for one in status["warnings"]} - MENDED))
    return Became(words, status["state"], codes, digests_in(orthanc) == [sha256(data)])


def test_what_can_be_stored_is_stored_deflated_too(site: tuple[Lab, Orthanc], tmp_path: Path):
    lab, orthanc = site
    counts, other, kinds = Counter[str](), dict[str, str](), set[str]()
    who: Http | None = None
    times = Counter[str]()
    for number, (name, data) in enumerate(candidates()):
        small = deflated(data, tmp_path)
        head = pydicom.dcmread(tmp_path / "given.dcm", stop_before_pixels=True)
        syntax = str(head.file_meta.TransferSyntaxUID)
        if small is None:
            counts[f"not deflated by DCMTK: {syntax}"] += 1
            assert syntax not in UNCOMPRESSED, name
            continue
        assert pydicom.dcmread(tmp_path / "made.dcm").file_meta.TransferSyntaxUID == DEFLATED
        if number % LOGIN_EVERY == 0 or who is None:
            who = lab.login()
        time, times[head.SOPInstanceUID] = times[head.SOPInstanceUID], times[head.SOPInstanceUID] + 1
        plain = sent(lab, who, orthanc, f"plain{time}", data)
        packed = sent(lab, who, orthanc, f"deflated{time}", small)
        kinds.add(syntax)
        counts[f"{packed.state}, {packed.words}, {'there' if packed.is_there else 'not there'}"] += 1
        if packed != plain or not packed.is_there:
            other[name] = f"{packed} instead of {plain}"
    print(*(f"{number} {what}" for what, number in counts.items()), sep="\n")
    assert kinds >= set(UNCOMPRESSED)
    assert other == {}
