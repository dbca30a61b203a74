"""What the scanner says of files beside what four other readers do with them: `python -m bench.verdicts FOLDER...`.

Orthanc (STOW-RS), DCMTK (dcmdump), pydicom and GDCM (gdcminfo), over every file of the folders and of pydicom's wheel.
Writes docs/validation-table.md. Orthanc is started afresh when a file has ended it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pydicom

from hooks.checks.scanner import scan
from hooks.contract import Accept, Reject, Skip
from tests.dicom_samples import BytesSource
from tests.e2e.orthanc import Orthanc, running_orthanc

PAGE = Path(__file__).parents[1] / "docs" / "validation-table.md"
#: Files looked at together by the readers that are commands.
AT_ONCE = 6
GATEWAY: dict[type, str] = {Accept: "accepted", Skip: "skipped", Reject: "rejected"}
_GDCM_MEMORY_BYTES = 1 << 30
READERS = ("Orthanc", "DCMTK", "pydicom", "GDCM")

#: Why the gateway and an archive may differ, by the gateway's code (docs/validation.md has the whole of it).
REASONS = {
    "": "nothing in it is odd to the scanner",
    "preamble_executable": "it runs as a program on a workstation",
    "preamble_active_content": "a browser or viewer that goes by content opens it",
    "no_preamble": "many clients can't read it back",
    "truncated": "part of it was lost on its way",
    "pixel_data_too_short": "the image lost its end, or claims a size that fills a reader's memory",
    "rows_columns_bomb": "it fills the memory of whoever decodes it",
    "nesting_too_deep": "it crashes an archive in wide use",
    "duplicate_attribute": "two readers may take two patients from it",
    "invalid_uid": "it goes into URLs, and can't be told from another",
    "bad_vr": "readers disagree on what follows",
    "bad_length": "readers disagree on what follows",
    "bad_sequence": "readers disagree on what follows",
    "deflate_damaged": "part of it was lost",
    "only_zeros": "a copy that lost its content",
    "missing_file_meta": "nothing says how it is written",
}


@dataclass(frozen=True)
class Row:
    """One file."""

    name: str
    gateway: str
    code: str
    readers: tuple[bool, ...]


def main(folders: Sequence[str]) -> None:
    """Judge everything, and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        rows = list(_rows(list(_files(folders)), Path(folder)))
    PAGE.write_text("\n".join(_page(rows)) + "\n", encoding="utf-8")
    print(f"{len(rows)} files, {sum(_differs(row) for row in rows)} of them differ: {PAGE}")


def _files(folders: Sequence[str]) -> Iterator[tuple[str, Path]]:
    wheel = Path(pydicom.__file__).parent / "data" / "test_files"
    for base in [*map(Path, folders), wheel]:
        for path in sorted(base.rglob("*")):
            if path.is_file() and path.suffix not in {".md", ".py", ".json"} and path.name != "SHA256SUMS":
                yield ("pydicom/" if base == wheel else "") + str(path.relative_to(base)), path


def _rows(files: Sequence[tuple[str, Path]], folder: Path) -> Iterator[Row]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        others = list(pool.map(_read, [path for _, path in files]))
    with running_orthanc(folder) as orthanc:
        for (name, path), read in zip(files, others, strict=True):
            data = path.read_bytes()
            verdict = scan(BytesSource(data))
            code = " ".join(verdict.warnings) if isinstance(verdict, Accept) else verdict.code
            stored = _stored(orthanc, data)
            if orthanc.process is None:
                orthanc.start()
            yield Row(name, GATEWAY[type(verdict)], code, (stored, *read))


def _read(path: Path) -> tuple[bool, bool, bool]:
    """By DCMTK, pydicom, GDCM."""
    # GDCM takes the memory that a length promises: whether there is so much would decide what it says.
    gdcminfo = ["prlimit", f"--as={_GDCM_MEMORY_BYTES}", "gdcminfo", str(path)]
    return _ends_well(["dcmdump", "-q", "+L", str(path)]), _pydicom(path), _ends_well(gdcminfo)


def _stored(orthanc: Orthanc, data: bytes) -> bool:
    """Whether Orthanc named it as stored, or has one more afterwards."""
    before = len(orthanc.instances())
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--x--\r\n"
    request = urllib.request.Request(orthanc.dicomweb_url + "/studies", body, method="POST")  # loopback
    request.add_header("Content-Type", 'multipart/related; type="application/dicom"; boundary=x')
    request.add_header("Accept", "application/dicom+json")
    request.add_header("Authorization", "Basic " + base64.b64encode(":".join(orthanc.auth[1:]).encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # loopback
            if json.loads(answer.read()).get("00081199", {}).get("Value"):
                return True
    except (urllib.error.HTTPError, ValueError):
        pass
    except OSError:  # the file ended it, or it hangs
        orthanc.kill()
        return False
    return len(orthanc.instances()) > before


def _ends_well(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _pydicom(path: Path) -> bool:
    """Whether all of it can be read, values too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for _ in pydicom.dcmread(path).iterall():
                pass
        except Exception:  # noqa: BLE001 # whatever it raises on such a file is its verdict
            return False
    return True


def _differs(row: Row) -> bool:
    return len({row.gateway == "accepted", *row.readers}) > 1


def _page(rows: Sequence[Row]) -> Iterator[str]:
    yield "# Verdicts beside those of other readers"
    yield ""
    yield "Made by `python -m bench.verdicts FOLDER` over the test data and the files of pydicom's wheel. *Orthanc*: named as"
    yield "stored, or there afterwards; *DCMTK*: `dcmdump` ends well; *pydicom*: every element can be read; *GDCM*: `gdcminfo` ends"
    yield "well. [validation.md](validation.md) has the reason of every code."
    yield ""
    yield "| gateway | Orthanc | DCMTK | pydicom | GDCM | files |"
    yield "|---|---|---|---|---|---|"
    counts = Counter((row.gateway, row.readers) for row in rows)
    for (gateway, readers), number in sorted(counts.items(), key=lambda one: -one[1]):
        yield f"| {gateway} | {' | '.join('yes' if taken else 'no' for taken in readers)} | {number} |"
    yield ""
    yield "## Where they differ"
    yield ""
    yield "| file | gateway | code | " + " | ".join(READERS) + " | why |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        if _differs(row):
            told = " | ".join("yes" if taken else "no" for taken in row.readers)
            yield f"| `{row.name}` | {row.gateway} | {row.code or '-'} | {told} | {_why(row)} |"


def _why(row: Row) -> str:
    if row.gateway == "skipped":
        return "no instance: left out by name, whatever a reader makes of it"
    if row.gateway == "rejected":
        return REASONS.get(
            row.code,
            "no archive can file it: an identifier is missing" if row.code.startswith("missing_") else "see the code",
        )
    if not row.readers[0] and "identifier_without_vr" in row.code:
        return "its identifiers are of VR UN: the PACS doesn't find them there, refuses it, and that is told"
    if not row.readers[0]:
        return "well-formed: the PACS itself refuses it by name, and that is told"
    refusing = [name for name, taken in zip(READERS, row.readers, strict=True) if not taken]
    if refusing == ["GDCM"]:
        return "stored by the archive; gdcminfo wants an image of a kind that it knows"
    return f"stored by the archive; {', '.join(refusing)} can't read all of it"


if __name__ == "__main__":
    main(sys.argv[1:])
