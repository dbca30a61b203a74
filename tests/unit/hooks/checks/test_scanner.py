"""The judgement of one file's bytes."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pydicom
import pytest

from hooks.checks.charset import decode
from hooks.checks.scanner import scan
from hooks.contract import Accept, Reject, Skip
from tests.dicom_samples import (
    DEFLATED,
    EXPLICIT_BE,
    EXPLICIT_LE,
    HOSTILE,
    IMPLICIT_LE,
    ITEM,
    JPEG_BASELINE,
    UNDEFINED,
    BytesSource,
    deflate_bomb,
    deflated,
    element,
    header,
    instance,
    nested,
    sequence,
    sequence_of_known_length,
)

SYNTAXES = [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED, JPEG_BASELINE]


def judge(data, level="standard"):
    """Kind and code; for an accepted file all its warnings."""
    verdict = scan(BytesSource(data), level)
    return type(verdict).__name__, " ".join(verdict.warnings) if isinstance(verdict, Accept) else verdict.code


@pytest.mark.parametrize("name", HOSTILE)
def test_every_sample_gets_its_verdict(name):
    data, kind, code = HOSTILE[name]
    assert judge(data) == (kind, code)


@pytest.mark.parametrize("name", [name for name, (_, kind, code) in HOSTILE.items() if kind == "Accept"])
def test_a_warning_is_a_rejection_where_the_level_is_strict(name):
    data, _, warning = HOSTILE[name]
    assert judge(data, "strict") == (("Reject", warning) if warning else ("Accept", ""))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_facts_are_read_in_every_encoding(syntax):
    data = instance(
        transfer_syntax_uid=syntax,
        sop_instance_uid="1.2.3",
        study_instance_uid="1.2.4",
        series_instance_uid="1.2.5",
        patient_id="ID 7",
        patient_name="DOE^JANE",
        patient_birth_date="19700101",
        accession_number="A1",
        modality="CT",
        study_date="20240102",
    )
    verdict = scan(BytesSource(data))
    assert isinstance(verdict, Accept)
    assert verdict.warnings == ()
    facts = verdict.facts
    assert facts.transfer_syntax_uid == syntax
    assert (facts.sop_instance_uid, facts.study_instance_uid, facts.series_instance_uid) == ("1.2.3", "1.2.4", "1.2.5")
    assert (facts.patient_id, facts.patient_name, facts.patient_birth_date) == ("ID 7", "DOE^JANE", "19700101")
    assert (facts.accession_number, facts.modality, facts.study_date) == ("A1", "CT", "20240102")


def test_what_is_only_copied_is_read_and_never_a_reason_to_reject():
    told = ((0x00080030, "TM", "1011"), (0x00081030, "LO", "Knee"), (0x00100040, "CS", "F"), (0x00200010, "SH", "S1"))
    whole = b"".join(element(tag, vr, text) for tag, vr, text in told)
    verdict = scan(BytesSource(instance(extra=whole)))
    assert isinstance(verdict, Accept)
    facts = verdict.facts
    assert (facts.study_time, facts.study_description, facts.patient_sex, facts.study_id) == ("1011", "Knee", "F", "S1")

    twice = whole + element(0x00100040, "CS", "M") + element(0x00080090, "PN", "X" * 2000)
    verdict = scan(BytesSource(instance(extra=twice)))
    assert isinstance(verdict, Accept), "odd, and nothing is judged by it"
    assert (verdict.facts.patient_sex, verdict.facts.referring_physician_name) == ("", "")


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_nested_values_are_not_taken_for_the_instances_own(syntax):
    encoding = syntax if syntax in {IMPLICIT_LE, EXPLICIT_BE} else EXPLICIT_LE
    other = element(0x00100020, "LO", "SOMEBODY", syntax=encoding)
    data = instance(
        transfer_syntax_uid=syntax, patient_id="ME", extra=sequence(0x00081140, [other, other], syntax=encoding)
    )
    verdict = scan(BytesSource(data))
    assert isinstance(verdict, Accept)
    assert verdict.facts.patient_id == "ME"


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("missing", [2, 9, 39, 200])
def test_a_file_cut_anywhere_behind_its_header_is_rejected(syntax, missing):
    assert judge(instance(transfer_syntax_uid=syntax)[:-missing])[0] == "Reject"


def test_pixel_data_is_not_read():
    source = BytesSource(instance(rows=2000, columns=2000))
    assert isinstance(scan(source), Accept)
    assert source.size_bytes > 4_000_000
    assert source.read_bytes <= 2 * 65536


def test_fragments_are_passed_over():
    source = BytesSource(instance(transfer_syntax_uid=JPEG_BASELINE, frames=8, pixel_data=bytes(300_000)))
    assert isinstance(scan(source), Accept)
    assert source.read_bytes <= 10 * 65536


def test_subsampled_colour_needs_less_pixel_data():
    colour = element(0x00280002, "US", 3) + element(0x00280004, "CS", "YBR_FULL_422")
    without = [0x00280002, 0x00280004]
    assert judge(instance(without=without, extra=colour, pixel_data=bytes(512))) == ("Accept", "")
    assert judge(instance(without=without, extra=colour, pixel_data=bytes(510)))[1] == "pixel_data_too_short"


def test_one_bit_pixels_are_packed():
    bits = element(0x00280100, "US", 1)
    assert judge(instance(without=[0x00280100], extra=bits, pixel_data=bytes(32))) == ("Accept", "")
    assert judge(instance(without=[0x00280100], extra=bits, pixel_data=bytes(30)))[1] == "pixel_data_too_short"


def test_every_frame_must_be_there():
    assert judge(instance(frames=3)) == ("Accept", "")
    assert judge(instance(frames=3, pixel_data=bytes(2 * 256)))[1] == "pixel_data_too_short"


def test_an_object_that_never_had_pixels_is_fine():
    image = [0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x7FE00010]
    assert judge(instance(without=image)) == ("Accept", "")


def test_a_deflate_bomb_is_given_up_early():
    assert judge(deflate_bomb(600 * 2**20)) == ("Reject", "deflate_bomb")


def test_a_deflated_image_of_zeros_is_no_bomb():
    assert judge(deflate_bomb(20 * 2**20))[1] != "deflate_bomb"


@pytest.mark.parametrize(
    "data_set",
    [
        element(0x00291001, "LO", "") * 1_000_000,
        header(0x00081140, "SQ", UNDEFINED) + (ITEM + bytes(4)) * 1_000_000,
        header(0x7FE00010, "OB", UNDEFINED) + (ITEM + bytes(4)) * 1_000_000,
        (header(0x00291001, "UN", 16) + ITEM + b"\x08\0\0\0" + bytes(8)) * 300_000,
    ],
    ids=["elements", "items", "fragments", "guesses"],
)
def test_a_few_kilobytes_that_unfold_to_millions_of_elements_are_given_up_soon(data_set):
    data = deflated(data_set)
    assert len(data) < 30_000
    began = time.process_time()
    assert judge(data) == ("Reject", "too_many_elements")
    assert time.process_time() - began < 5


def test_a_deflated_file_of_many_elements_that_differ_passes():
    many = b"".join(element(0x00291001, "LO", f"{number * 7919:x}") for number in range(60_000))
    assert judge(instance(transfer_syntax_uid=DEFLATED, extra=many)) == ("Accept", "")


def test_real_reports_nest_and_pass_in_every_form():
    assert judge(instance(extra=nested(15))) == ("Accept", "")
    assert judge(instance(extra=nested(15, known_length=True))) == ("Accept", "")
    assert judge(
        instance(transfer_syntax_uid=IMPLICIT_LE, extra=nested(15, syntax=IMPLICIT_LE, known_length=True))
    ) == ("Accept", "")


def test_many_siblings_are_no_nesting():
    items = [element(0x00081155, "UI", "1.2.3")] * 500
    assert judge(instance(extra=sequence(0x00081140, items) + sequence_of_known_length(0x00081115, items))) == (
        "Accept",
        "",
    )


@pytest.mark.parametrize("written", ["??", "  ", "\0\0", "lo"])
def test_private_elements_with_an_odd_vr_are_read_as_archives_read_them(written):
    assert judge(instance(extra=element(0x00290010, written, "abcd"))) == ("Accept", "odd_vr")


def test_padding_behind_the_data_set_may_be_an_element_of_its_own():
    assert judge(instance(tail=element(0xFFFCFFFC, "OB", bytes(100)))) == ("Accept", "")


@pytest.mark.parametrize(
    ("term", "value", "text"),
    [
        ("", b"DOE^JANE ", "DOE^JANE"),
        ("", b"M\xfcller", "M\ufffdller"),
        ("ISO_IR 100", b"M\xfcller^J\xf6rg", "Müller^Jörg"),
        ("ISO_IR 192", "Müller^Jörg".encode(), "Müller^Jörg"),
        ("ISO_IR 144", "Жизнь".encode("iso8859_5"), "Жизнь"),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东"),
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        ("\\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^Gildong=洪^吉洞"),
        ("ISO_IR 192", b"\xff\xfe broken", "\ufffd\ufffd broken"),
        ("NO SUCH SET", b"plain", "plain"),
        ("\xff\xff", b"plain", "plain"),
    ],
)
def test_names_are_decoded_by_their_character_set(term, value, text):
    assert decode(value, term.encode("latin1")) == text


# --- files that others wrote ----------------------------------------------------------------------------------------

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"

#: What of pydicom's own test files is not accepted, and why.
PYDICOM_REFUSED = {
    "DICOMDIR": "dicomdir",
    "DICOMDIR-bigEnd": "dicomdir",
    "DICOMDIR-empty.dcm": "dicomdir",
    "DICOMDIR-implicit": "dicomdir",
    "DICOMDIR-nooffset": "dicomdir",
    "DICOMDIR-nopatient": "dicomdir",
    "DICOMDIR-reordered": "dicomdir",
    "ExplVR_BigEndNoMeta.dcm": "no_preamble",
    "ExplVR_LitEndNoMeta.dcm": "no_preamble",
    "rtstruct.dcm": "no_preamble",
    "no_meta.dcm": "no_preamble",
    "JPEGLSNearLossless_08.dcm": "missing_study_instance_uid",
    "JPEGLSNearLossless_16.dcm": "missing_study_instance_uid",
    "SC_rgb_jls_lossy_line.dcm": "missing_study_instance_uid",
    "SC_rgb_jls_lossy_sample.dcm": "missing_study_instance_uid",
    "MR_truncated.dcm": "truncated",
    "rtplan_truncated.dcm": "truncated",
    "SC_rgb_jpeg.dcm": "bad_vr",
    "UN_sequence.dcm": "missing_sop_class_uid",
    "chrSQEncoding.dcm": "missing_sop_class_uid",
    "chrSQEncoding1.dcm": "missing_sop_class_uid",
    "empty_charset_LEI.dcm": "missing_sop_class_uid",
    "nested_priv_SQ.dcm": "missing_sop_class_uid",
    "no_meta_group_length.dcm": "missing_sop_class_uid",
    "priv_SQ.dcm": "missing_sop_class_uid",
    "meta_missing_tsyntax.dcm": "missing_transfer_syntax_uid",
    "README": "not_dicom",
    "crayons.icc": "not_dicom",
    "zipMR.gz": "not_dicom",
}


def pydicom_files():
    return sorted(
        path
        for path in PYDICOM_FILES.rglob("*")
        if path.is_file() and path.suffix not in {".txt", ".py", ".json", ".dump"}
    )


@pytest.mark.parametrize("path", pydicom_files(), ids=lambda path: str(path.relative_to(PYDICOM_FILES)))
def test_files_of_pydicom_pass_unless_an_archive_could_not_take_them(path):
    verdict = scan(BytesSource(path.read_bytes()))
    assert (None if isinstance(verdict, Accept) else verdict.code) == PYDICOM_REFUSED.get(path.name)


#: What Orthanc stores and we don't, with the reason; everything else it stores must pass.
SAFER_THAN_ORTHANC = {
    "no_preamble",  # PS3.10 demands it; several clients can't read such an instance back from an archive
    "preamble_executable",  # runs on the workstation that opens it
    "preamble_active_content",  # the same
    "pixel_data_too_short",  # an image that lost its end
    "invalid_uid",  # can't be asked for by its UID in a URL, nor told from another
}


def stored_by_orthanc():
    """(path, whether Orthanc 1.10 stored it): pydicom's files, and those of a table beside more files."""
    found = [(path, path.name not in PYDICOM_REFUSED) for path in pydicom_files()]
    folder = os.environ.get("RELAYPACS_TEST_DATA")
    if folder:
        row = re.compile(r"\| [0-9a-f]{64} \| \d+ \| ([^|]+) \| [^|]* \| [^|]* \| [^|]* \| (\S+) \|")
        text = (Path(folder) / "README.md").read_text(encoding="utf-8")
        found += [(Path(folder) / name.strip(), answer == "200/1") for name, answer in row.findall(text)]
    return found


@pytest.mark.parametrize(("path", "stored"), stored_by_orthanc(), ids=lambda value: getattr(value, "name", ""))
def test_what_an_archive_stores_passes_unless_it_is_unsafe(path, stored):
    verdict = scan(BytesSource(path.read_bytes()))
    if stored and not isinstance(verdict, Accept):
        assert isinstance(verdict, Reject), "skipping loses an image silently"
        assert verdict.code in SAFER_THAN_ORTHANC


def test_a_skipped_file_is_never_one_that_an_archive_stores():
    for path in pydicom_files():
        if isinstance(scan(BytesSource(path.read_bytes())), Skip):
            assert PYDICOM_REFUSED[path.name] in {"dicomdir", "not_dicom"}
