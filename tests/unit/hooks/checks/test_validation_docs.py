"""docs/validation.md is true to the code: each code once, each malformed file as it says."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

from hooks.checks.scanner import scan
from hooks.contract import Accept
from tests.dicom_samples import HOSTILE, BytesSource

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
SOURCES = [
    *(f"hooks/checks/{name}.py" for name in ("scanner", "dicom_reader", "preamble")),
    "gateway/delivery/identity.py",
    "gateway/delivery/hold.py",
]
OUTCOMES = {"Accept": "accepted", "Skip": "skipped", "Reject": "rejected"}
MALFORMED = PAGE.partition("## Malformed")[2]


def documented_codes():
    """Code -> the headings under which it stands."""
    found: dict[str, list[str]] = {}
    for section in PAGE.partition("## Malformed")[0].split("\n## ")[1:]:
        heading = section.partition("\n")[0]
        for code in re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE):
            found.setdefault(code, []).append(heading)
    return found


def codes_in_source() -> set[str]:
    """Texts that the modules which look at files raise or return as codes, and those of their tables of codes."""
    found: list[ast.expr] = []
    for name in SOURCES:
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="Broken" | "Skip" | "Reject"), args=args):
                    found += args
                case ast.Assign(targets=[ast.Name(id="warnings" | "reasons")], value=ast.Dict(keys=keys)):
                    found += [key for key in keys if key is not None]
                case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="warnings"), attr="add"), args=args):
                    found += args
                case ast.Assign(targets=[ast.Name(id="PACS_HOLDS" | "UNKNOWN")], value=ast.Tuple(elts=codes)):
                    found += codes
                case ast.Return(value=ast.Dict(keys=keys)):
                    found += [key for key in keys if key is not None]
                case ast.Assign(targets=[ast.Name(id="REQUIRED_UIDS")], value=ast.Dict(values=values)):
                    found += values
    return {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_code_is_documented_and_no_other():
    assert codes_in_source() == documented_codes().keys()


def test_a_code_stands_once_but_for_the_one_that_is_two_things():
    twice = {code for code, headings in documented_codes().items() if len(headings) > 1}
    assert twice == {"unknown_transfer_syntax"}


def test_every_code_of_a_verdict_has_a_sample():
    sampled = {code for _, _, code in HOSTILE.values() if code}
    made_elsewhere = {"deflate_bomb", "too_many_elements"}
    verdicts = {code for code, headings in documented_codes().items() if headings != ["Why an upload is held"]}
    assert verdicts - sampled == made_elsewhere


def rows():
    for names, outcome, code in re.findall(r"^\| (`.+?) \| (\w+) \| (.*?) ?\|$", MALFORMED, flags=re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            yield name, outcome, code.strip("` ")


def test_the_table_of_files_uses_documented_codes():
    assert len(list(rows())) > 30
    assert {code for _, _, code in rows() if code} <= documented_codes().keys()


#: Files of the table that `tests/dicom_samples.py` makes in code.
TWINS = {
    ".DS_Store": "ds_store",
    "Thumbs.db": "thumbs_db",
    "autorun.inf": "autorun_inf",
    "viewer.exe": "viewer_exe",
    "zip_slip.zip": "zip",
    "text_named_dcm.dcm": "text",
    "photo.jpg.dcm": "jpeg",
    "empty.dcm": "empty",
    "zeros_4k.dcm": "zeros",
    "preamble_only.dcm": "preamble_only",
    "no_preamble.dcm": "no_preamble",
    "polyglot_pe_preamble.dcm": "preamble_pe",
    "polyglot_html_preamble.dcm": "preamble_html",
    "truncated_in_meta.dcm": "truncated_in_meta",
    "truncated_in_header.dcm": "truncated_in_header",
    "truncated_in_pixels.dcm": "truncated_in_pixels",
    "bad_length_huge.dcm": "length_beyond_the_end",
    "deep_nesting_60.dcm": "nesting_60_known_length",
    "no_sop_class.dcm": "no_sop_class_uid",
    "no_sop_instance_uid.dcm": "no_sop_instance_uid",
    "no_study_uid.dcm": "no_study_uid",
    "no_series_uid.dcm": "no_series_uid",
    "invalid_uids.dcm": "uid_of_words",
    "pixeldata_too_short.dcm": "pixels_too_few",
    "rows_cols_bomb.dcm": "rows_columns_bomb",
    "meta_uid_mismatch.dcm": "meta_of_another",
    "unknown_transfer_syntax.dcm": "unknown_transfer_syntax",
    "no_patient_id.dcm": "no_patient_id",
    "no_modality.dcm": "no_modality",
    "injection_strings.dcm": "strings_that_inject",
    "multipart_boundary_smuggle.dcm": "boundary_smuggler",
}


def malformed_files():
    """Name and bytes: made in code, and the files themselves where they are."""
    folder = Path(os.environ.get("RELAYPACS_TEST_DATA", "/nonexistent")) / "malformed"
    real = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())] if folder.is_dir() else []
    return [*((name, HOSTILE[twin][0]) for name, twin in TWINS.items()), *real]


@pytest.mark.parametrize(("name", "data"), malformed_files(), ids=lambda value: value if isinstance(value, str) else "")
def test_each_malformed_file_gets_what_the_page_says(name, data):
    expected = {name: (outcome, code) for name, outcome, code in rows()}
    verdict = scan(BytesSource(data))
    code = " ".join(verdict.warnings) if isinstance(verdict, Accept) else verdict.code
    assert (OUTCOMES[type(verdict).__name__], code) == expected[name]
