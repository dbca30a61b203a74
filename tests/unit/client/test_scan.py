"""What is found among files and folders, and how it is sorted by patient."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from gateway.client.errors import Misused
from gateway.client.grouping import group
from gateway.client.scan import LeftOut, find
from tests.dicom_samples import deflate_bomb
from tests.unit.client.conftest import MakeFile


def reasons(paths: list[Path]) -> dict[str, LeftOut]:
    return {path.name: reason for path, reason in find(paths).left_out}


def test_dicom_is_known_by_content_not_by_name(make_file: MakeFile, folder: Path) -> None:
    make_file("IM000001")
    make_file("report.pdf")
    (folder / "image.dcm").write_text("not what its name says")
    search = find([folder])
    assert [found.path.name for found in search.found] == ["IM000001", "report.pdf"]
    assert search.left_out == [(folder / "image.dcm", LeftOut.NOT_DICOM)]


@pytest.mark.parametrize("name", ["ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm"])
def test_dicom_without_a_preamble_is_found(name: str) -> None:
    path = Path(str(get_testdata_file(name)))
    (found,) = find([path]).found
    assert found.metadata["study_instance_uid"] == pydicom.dcmread(path, force=True).StudyInstanceUID


def test_what_lies_on_a_cd_beside_the_images_is_left_out_with_a_reason(make_file: MakeFile, folder: Path) -> None:
    make_file("1.dcm")
    make_file(".hidden.dcm")
    make_file(".Trashes/2.dcm")
    dicomdir = Path(str(get_testdata_file("DICOMDIR")))
    (folder / "DICOMDIR").write_bytes(dicomdir.read_bytes())
    (folder / "autorun.inf").write_bytes(b"[autorun]")
    (folder / "empty").touch()
    os.mkfifo(folder / "pipe")
    search = find([folder])
    assert len(search.found) == 1
    assert {path.name: reason for path, reason in search.left_out} == {
        ".hidden.dcm": LeftOut.HIDDEN,
        "2.dcm": LeftOut.HIDDEN,
        "DICOMDIR": LeftOut.DICOMDIR,
        "autorun.inf": LeftOut.NOT_DICOM,
        "empty": LeftOut.EMPTY,
        "pipe": LeftOut.NOT_DICOM,
    }
    assert search.left_out_words() == ("1 an index of a medium (DICOMDIR), 1 empty, 2 hidden, 2 not DICOM")


def test_a_hidden_file_that_is_named_is_sent(make_file: MakeFile) -> None:
    assert len(find([make_file(".hidden.dcm")]).found) == 1


def test_a_file_is_found_once_however_often_it_is_reached(make_file: MakeFile, folder: Path) -> None:
    path = make_file("1.dcm")
    (folder / "link.dcm").symlink_to(path)
    (folder / "loop").symlink_to(folder)
    (folder / "hard.dcm").hardlink_to(path)
    assert len(find([folder, path, folder]).found) == 1


def test_a_link_that_leads_nowhere_is_said_to_be_unreadable(folder: Path) -> None:
    (folder / "gone.dcm").symlink_to(folder / "nothing")
    assert reasons([folder]) == {"gone.dcm": LeftOut.UNREADABLE}


def test_a_path_that_is_not_there_is_wrong_use(folder: Path) -> None:
    with pytest.raises(Misused):
        find([folder / "nothing"])


def test_a_broken_dicom_file_is_sent_for_the_gateway_to_judge(make_file: MakeFile) -> None:
    path = make_file("1.dcm")
    path.write_bytes(path.read_bytes()[:140])
    assert len(find([path]).found) == 1


def test_junk_that_begins_like_dicom_is_no_dicom(folder: Path) -> None:
    (folder / "junk").write_bytes(b"\x08\x00" + os.urandom(4000))
    assert not find([folder]).found


def test_a_deflated_file_is_read_no_further_than_its_head(folder: Path) -> None:
    original = Path(str(get_testdata_file("image_dfl.dcm")))
    bomb = folder / "bomb.dcm"
    bomb.write_bytes(deflate_bomb(512 << 20))
    tracemalloc.start()
    search = find([original, bomb])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(search.found) == 2
    known = pydicom.dcmread(original)
    (found,) = [one for one in search.found if one.path == original.resolve()]
    assert found.metadata["study_instance_uid"] == known.StudyInstanceUID
    assert found.metadata["patient_name"] == str(known.PatientName)
    assert peak_bytes < 16 << 20


def test_one_parcel_per_patient(make_file: MakeFile, folder: Path) -> None:
    make_file("1.dcm", PatientID="P1", StudyInstanceUID="1.2.1")
    make_file("2.dcm", PatientID="P1", StudyInstanceUID="1.2.2")
    make_file("3.dcm", PatientID="P1", IssuerOfPatientID="ELSEWHERE")
    make_file("4.dcm", PatientID="P1", PatientBirthDate="19800101")
    make_file("5.dcm", PatientID="P2")
    plans = group(find([folder]).found)
    assert sorted([file.path.name for file in plan.files] for plan in plans) == [
        ["1.dcm", "2.dcm"], ["3.dcm"], ["4.dcm"], ["5.dcm"],
    ]  # fmt: skip


def test_two_strangers_without_an_id_are_not_one_patient(make_file: MakeFile, folder: Path) -> None:
    make_file("1.dcm", PatientID="", PatientName="Doe^Jane")
    make_file("2.dcm", PatientID="", PatientName="Roe^Rick")
    make_file("3.dcm", PatientID="", PatientName="", StudyInstanceUID="1.2.1")
    make_file("4.dcm", PatientID="", PatientName="", StudyInstanceUID="1.2.2")
    assert len(group(find([folder]).found)) == 4


def test_metadata_declares_what_all_files_agree_on(make_file: MakeFile, folder: Path) -> None:
    make_file("1.dcm", Modality="CT", AccessionNumber="A1", StudyDescription="")
    make_file("2.dcm", Modality="SR", AccessionNumber="A1")
    (plan,) = group(find([folder]).found)
    assert plan.metadata == {
        "patient_name": "Doe^Jane",
        "patient_id": "P1",
        "patient_birth_date": "19700101",
        "study_date": "20240102",
        "accession_number": "A1",
        "study_instance_uid": "1.2.3",
    }


def test_names_in_other_alphabets_are_declared_as_they_are(make_file: MakeFile, folder: Path) -> None:
    make_file("1.dcm", SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Änne")
    (plan,) = group(find([folder]).found)
    assert plan.metadata["patient_name"] == "Müller^Änne"


def test_what_holds_patient_data_does_not_show_it(make_file: MakeFile) -> None:
    search = find([make_file("Doe.dcm")])
    assert "Doe" not in repr(search.found) + repr(group(search.found))


WHEEL_FILES = ["CT_small.dcm", "rtplan.dcm", "badVR.dcm"]
REAL_FILES = [
    "ct_ge_28/01.dcm",
    "malformed/bad_length_huge.dcm",
    "malformed/meta_uid_mismatch.dcm",
    "malformed/no_sop_instance_uid.dcm",
    "malformed/random_64k.dcm",
    "malformed/unknown_transfer_syntax.dcm",
    "mr_ge_epi_151/axial_epi_fmri_interleaved_i_to_s-00003.dcm",
    "mr_siemens_mosaic/mr_0004/epi_pe_pa-00001.dcm",
    "varied/highdicom/dx_image.dcm",
    "varied/highdicom/seg_image_sm_control.dcm",
    "varied/highdicom/sm_image.dcm",
    "varied/pydicom-data/JPEG-LL.dcm",
    "varied/pydicom-data/bad_sequence.dcm",
    "varied/pydicom-data/emri_small_jpeg_2k_lossless.dcm",
    "varied/pydicom-data/mlut_18.dcm",
    "varied/pydicom/JPGExtended.dcm",
    "varied/pydicom/SC_ybr_full_422_uncompressed.dcm",
    "varied/pydicom/chrGreek.dcm",
    "varied/pydicom/empty_charset_LEI.dcm",
    "varied/pydicom/reportsi.dcm",
    "varied/pydicom/rtdose_rle_1frame.dcm",
]


def data_files() -> list[Path]:
    data = os.environ.get("RELAYPACS_TEST_DATA")
    wheel = [Path(str(get_testdata_file(name))) for name in WHEEL_FILES]
    return wheel + [Path(data) / name for name in REAL_FILES] if data else wheel


def test_every_readable_instance_of_a_collection_is_found() -> None:
    files = data_files()
    search = find(files)
    seen = {found.path for found in search.found} | {path.resolve() for path, _ in search.left_out}
    assert seen == {path.resolve() for path in files}
    left_out = [path for path, reason in search.left_out if reason is not LeftOut.DICOMDIR]
    missed = [path for path in left_out if path.stat().st_size and path.read_bytes()[128:132] == b"DICM"]
    assert missed == []
