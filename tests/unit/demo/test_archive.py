"""The demo's archive, spoken to by a DICOMweb client of other people's making and by hand-made requests."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pydicom
import pytest
import requests
from aiohttp import web
from aiohttp.test_utils import TestClient
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from gateway.demo.archive import create_archive
from gateway.demo.holdings import CATALOGUE

WHEEL_FILES = ["CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "image_dfl.dcm", "rtplan.dcm", "reportsi.dcm"]
REAL_FILES = [
    "ct_ge_28/01.dcm",
    "ct_ge_28/21.dcm",
    "mr_ge_epi_151/axial_epi_fmri_interleaved_i_to_s-00003.dcm",
    "mr_siemens_mosaic/mr_0003/epi_pe_ap-00001.dcm",
    "varied/highdicom/seg_image_ct_binary_fractional.dcm",
    "varied/highdicom/sr_document_with_multiple_groups.dcm",
    "varied/pydicom-data/emri_small_jpeg_2k_lossless_too_short.dcm",
    "varied/pydicom/JPGExtended.dcm",
    "varied/pydicom/chrFrenMulti.dcm",
    "varied/pydicom/examples_rgb_color.dcm",
]


def instance(*, study: str, series: str = "", uid: str = "", pixels: bytes = b"\1\2\3\4", **more: str) -> bytes:
    """A Part 10 file as small as they come."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid) if uid else generate_uid()
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = series or study + ".1"
    dataset.Modality = "OT"
    dataset.Rows = dataset.Columns = 2
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    dataset.BitsAllocated = 8
    dataset.PixelData = pixels
    out = io.BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def body(*parts: bytes, boundary: str = "edge") -> bytes:
    heads = (f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + part for part in parts)
    return b"".join(heads) + f"\r\n--{boundary}--".encode()


STOW = {"Content-Type": 'multipart/related; type="application/dicom"; boundary="edge"'}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
async def archive(root: Path, aiohttp_client) -> TestClient:
    return await aiohttp_client(create_archive(root))


@pytest.fixture
def served(root: Path) -> Iterator[str]:
    """The archive in a loop of its own, for clients that block."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(create_archive(root))

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http://127.0.0.1:{port}/dicom-web"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(runner.cleanup())
    loop.close()


@pytest.fixture
def client(served: str) -> DICOMwebClient:
    return DICOMwebClient(served)


def reasons(answer: dict) -> list[int]:
    return [item["00081197"]["Value"][0] for item in answer.get("00081198", {}).get("Value", [])]


def test_a_dicomweb_client_stores_searches_and_gets_back_every_byte(client: DICOMwebClient, served: str) -> None:
    files = [Path(str(get_testdata_file(name))) for name in WHEEL_FILES]
    for file in files:
        sent = pydicom.dcmread(file)
        answer = client.store_instances([sent])
        assert answer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == sent.SOPInstanceUID
    assert len(client.search_for_studies()) == len({pydicom.dcmread(file).StudyInstanceUID for file in files})

    ct = pydicom.dcmread(files[0])
    study, series, uid = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
    assert client.search_for_studies(search_filters={"PatientID": ct.PatientID})[0]["0020000D"]["Value"] == [study]
    assert client.search_for_series(study)[0]["00080060"]["Value"] == ["CT"]
    assert [one["00080018"]["Value"] for one in client.search_for_instances(study)] == [[uid]]
    assert [one["00080018"]["Value"] for one in client.search_for_instances(study, series)] == [[uid]]
    assert client.search_for_instances(search_filters={"SOPInstanceUID": uid})
    assert not client.search_for_instances(search_filters={"SOPInstanceUID": "1.2.3"})
    assert client.retrieve_instance(study, series, uid).PixelData == ct.PixelData
    assert client.retrieve_instance_metadata(study, series, uid)["00100020"]["Value"] == [ct.PatientID]
    assert len(client.retrieve_study(study)) == 1


def real_files() -> list[Path]:
    data = os.environ.get("RELAYPACS_TEST_DATA")
    wheel = [Path(str(get_testdata_file(name))) for name in WHEEL_FILES]
    return wheel + [Path(data) / name for name in REAL_FILES] if data else wheel


@pytest.mark.parametrize("file", real_files(), ids=lambda file: file.name)
def test_what_is_stored_comes_back_bit_for_bit(served: str, file: Path) -> None:
    data = file.read_bytes()
    answer = requests.post(served + "/studies", data=body(data), headers=STOW, timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/dicom+json"
    url = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
    assert requests.get(url, headers={"Accept": "application/dicom"}, timeout=10).content == data
    many = requests.get(url, headers={"Accept": 'multipart/related; type="application/dicom"'}, timeout=10)
    assert many.content.count(data) == 1
    assert int(many.headers["Content-Length"]) == len(many.content)


async def test_the_same_bytes_again_are_welcome(archive: TestClient) -> None:
    data = instance(study="1.2.3")
    for _ in range(2):
        answer = await archive.post("/dicom-web/studies", data=body(data), headers=STOW)
        assert answer.status == 200
        assert len((await answer.json(content_type=None))["00081199"]["Value"]) == 1
    assert len(await (await archive.get("/dicom-web/instances")).json(content_type=None)) == 1


async def test_another_content_under_the_same_uid_is_refused_and_the_first_is_kept(archive: TestClient) -> None:
    first, other = (instance(study="1.2.3", uid="1.2.3.9", pixels=pixels) for pixels in (b"aaaa", b"bbbb"))
    await archive.post("/dicom-web/studies", data=body(first), headers=STOW)
    answer = await archive.post("/dicom-web/studies", data=body(other), headers=STOW)
    assert answer.status == 409
    said = await answer.json(content_type=None)
    assert reasons(said) == [0x0111]
    assert said["00081198"]["Value"][0]["00081155"]["Value"] == ["1.2.3.9"]
    assert "00081199" not in said
    url = "/dicom-web/studies/1.2.3/series/1.2.3.1/instances/1.2.3.9"
    assert await (await archive.get(url, headers={"Accept": "application/dicom"})).read() == first


async def test_a_batch_with_a_bad_part_stores_the_good_ones_and_says_202(archive: TestClient, root: Path) -> None:
    good = [instance(study="1.2.3") for _ in range(3)]
    sent = body(good[0], b"no DICOM at all" * 1000, good[1], b"", good[2])
    answer = await archive.post("/dicom-web/studies", data=sent, headers=STOW)
    assert answer.status == 202
    said = await answer.json(content_type=None)
    assert len(said["00081199"]["Value"]) == 3
    assert [one["00081197"]["Value"] for one in said["0008119A"]["Value"]] == [[0xC000], [0xC000]]
    assert not list((root / ".incoming").iterdir())


async def test_an_instance_of_another_study_than_the_path_says_is_refused(archive: TestClient) -> None:
    answer = await archive.post("/dicom-web/studies/1.2.4", data=body(instance(study="1.2.3")), headers=STOW)
    assert answer.status == 409
    assert reasons(await answer.json(content_type=None)) == [0xA900]


@pytest.mark.parametrize("uid", ["..", "1.2/../../3", "1..2", ".1", "a", "1" * 65, ""])
async def test_a_uid_never_becomes_a_path_of_its_own_choice(archive: TestClient, root: Path, uid: str) -> None:
    template = instance(study="1.2.3")
    dataset = pydicom.dcmread(io.BytesIO(template))
    out = io.BytesIO()
    dataset.StudyInstanceUID = uid
    dataset.save_as(out)
    answer = await archive.post("/dicom-web/studies", data=body(out.getvalue()), headers=STOW)
    assert answer.status == 409
    assert reasons(await answer.json(content_type=None)) == [0xC000]
    files = [path for path in root.parent.rglob("*") if path.is_file()]
    assert [path for path in files if not path.name.startswith(CATALOGUE)] == []


@pytest.mark.parametrize(
    ("headers", "sent", "status"),
    [
        ({"Content-Type": "application/dicom"}, b"x", 415),
        ({"Content-Type": "multipart/related"}, b"x", 400),
        (STOW, b"", 400),
        (STOW, b"no boundary here\r\n", 400),
        (STOW, b"--edge--\r\n", 400),
        (STOW, b"--edge\r\nContent-Type: text/plain\r\n\r\nx\r\n--edge--", 415),
        (STOW, b"--edge\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\nx\r\n--edge--", 400),
    ],
)
async def test_a_body_that_is_no_stow_request_is_refused(
    archive: TestClient, headers, sent: bytes, status: int
) -> None:
    assert (await archive.post("/dicom-web/studies", data=sent, headers=headers)).status == status


async def test_a_body_cut_short_stores_only_what_was_whole(archive: TestClient, root: Path) -> None:
    whole, cut = instance(study="1.2.3", uid="1.2.3.1"), instance(study="1.2.3", uid="1.2.3.2")
    answer = await archive.post("/dicom-web/studies", data=body(whole, cut)[:-40], headers=STOW)
    assert answer.status == 400
    there = await (await archive.get("/dicom-web/instances")).json(content_type=None)
    assert [one["00080018"]["Value"] for one in there] == [["1.2.3.1"]]
    assert not list((root / ".incoming").iterdir())


async def test_a_lost_connection_leaves_no_half_instance(root: Path, aiohttp_server) -> None:
    server = await aiohttp_server(create_archive(root))
    reader, writer = await asyncio.open_connection(server.host, server.port)
    head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999\r\nContent-Type: {STOW['Content-Type']}\r\n\r\n"
    writer.write(head.encode() + body(instance(study="1.2.3", pixels=bytes(50_000)))[:40_000])
    await writer.drain()
    while not list((root / ".incoming").iterdir()):
        await asyncio.sleep(0.01)
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(5):
        while list((root / ".incoming").iterdir()):
            await asyncio.sleep(0.01)
    async with aiohttp.ClientSession() as session, session.get(server.make_url("/dicom-web/instances")) as answer:
        assert await answer.json(content_type=None) == []
    del reader


async def test_the_archive_knows_after_a_restart_what_it_had(root: Path, aiohttp_client) -> None:
    before = await aiohttp_client(create_archive(root))
    sent = [
        instance(study=f"1.2.{n}", PatientID="P7", PatientName="Doe^Jane", AccessionNumber=f"A{n}") for n in range(3)
    ]
    await before.post("/dicom-web/studies", data=body(*sent), headers=STOW)
    (root / ".incoming" / "half").write_bytes(b"half")
    (root / "1.2.1" / "1.2.1.1" / "1.2.9.dcm").write_bytes(b"broken")
    asked = {"PatientID": "P7"}
    known = await (await before.get("/dicom-web/studies", params=asked)).json(content_type=None)
    after = await aiohttp_client(create_archive(root))
    again = await (await after.get("/dicom-web/studies", params=asked)).json(content_type=None)
    assert [one["0020000D"] for one in again] == [one["0020000D"] for one in known]
    assert len(again) == 3
    assert not (root / ".incoming" / "half").exists()


@pytest.mark.parametrize("left", [b"", b"no database at all" * 500, None])
async def test_a_catalogue_that_is_damaged_or_gone_is_made_again(
    root: Path, aiohttp_client, left: bytes | None
) -> None:
    before = await aiohttp_client(create_archive(root))
    await before.post("/dicom-web/studies", data=body(instance(study="1.2.3", PatientID="P7")), headers=STOW)
    await before.close()
    for path in root.glob(f"{CATALOGUE}*"):
        path.unlink()
    if left is not None:
        (root / CATALOGUE).write_bytes(left)
    after = await aiohttp_client(create_archive(root))
    found = await (await after.get("/dicom-web/studies", params={"PatientID": "P7"})).json(content_type=None)
    assert [one["0020000D"]["Value"] for one in found] == [["1.2.3"]]


async def test_what_was_taken_out_of_the_folder_is_not_shown_after_a_restart(root: Path, aiohttp_client) -> None:
    before = await aiohttp_client(create_archive(root))
    sent = [instance(study="1.2.3", uid=f"1.2.3.9.{n}", PatientID="P7") for n in range(2)] + [
        instance(study="1.2.4", uid="1.2.4.9", PatientID="P8")
    ]
    await before.post("/dicom-web/studies", data=body(*sent), headers=STOW)
    await before.close()
    for path in (root / "1.2.3/1.2.3.1/1.2.3.9.0.dcm", root / "1.2.4/1.2.4.1/1.2.4.9.dcm"):
        path.unlink()
    after = await aiohttp_client(create_archive(root))
    there = await (await after.get("/dicom-web/instances")).json(content_type=None)
    assert [one["00080018"]["Value"] for one in there] == [["1.2.3.9.1"]]
    for asked, studies in ((("PatientID", "P7"), 1), (("PatientID", "P8"), 0)):
        found = await (await after.get("/dicom-web/studies", params=[asked])).json(content_type=None)
        assert len(found) == studies


async def test_a_restart_reads_no_file_that_the_catalogue_knows(root: Path, aiohttp_client, monkeypatch) -> None:
    before = await aiohttp_client(create_archive(root))
    await before.post("/dicom-web/studies", data=body(instance(study="1.2.3")), headers=STOW)
    await before.close()
    monkeypatch.setattr(pydicom, "dcmread", None)
    after = await aiohttp_client(create_archive(root))
    assert len(await (await after.get("/dicom-web/studies")).json(content_type=None)) == 1


async def test_what_looks_like_a_pattern_of_the_database_is_none_in_dicom(archive: TestClient) -> None:
    sent = [
        instance(study=f"1.2.{n}", PatientID=patient_id) for n, patient_id in enumerate(["A[1]", "A1", "a%b", "ab"])
    ]
    await archive.post("/dicom-web/studies", data=body(*sent), headers=STOW)

    async def ask(path: str = "studies", **parameters: str) -> list[str]:
        answer = await archive.get(f"/dicom-web/{path}", params=parameters)
        return [one["0020000D"]["Value"][0] for one in await answer.json(content_type=None)]

    assert await ask(PatientID="A[1]*") == ["1.2.0"]
    assert await ask(PatientID="A?") == ["1.2.1"]
    assert await ask(PatientID="a%*") == ["1.2.2"]
    assert await ask(PatientID="' OR 1 --") == []
    assert await ask("instances", PatientID="ab", Modality="OT") == ["1.2.3"]
    assert await ask("series", Modality="O*", limit="2", offset="1") == ["1.2.1", "1.2.2"]
    assert await ask(Modality="OT") == [], "no attribute of a study"


async def test_queries_match_page_and_say_what_they_ignored(archive: TestClient) -> None:
    sent = [
        instance(study="1.2.1", PatientID="P1", PatientName="Müller^Änne", StudyDate="20240105", AccessionNumber="A1",
                 SpecificCharacterSet="ISO_IR 192", PatientBirthDate="19600101"),
        instance(study="1.2.2", PatientID="P2", PatientName="Doe^Jane", StudyDate="20240210", AccessionNumber="A2"),
        instance(study="1.2.3", PatientID="P2", PatientName="Doe^Jane", StudyDate="20240301", AccessionNumber="A3"),
    ]  # fmt: skip
    await archive.post("/dicom-web/studies", data=body(*sent), headers=STOW)

    async def ask(**parameters: str) -> list[str]:
        answer = await archive.get("/dicom-web/studies", params=parameters)
        assert answer.status == 200
        return [one["0020000D"]["Value"][0] for one in await answer.json(content_type=None)]

    assert await ask(PatientID="P2") == ["1.2.2", "1.2.3"]
    assert await ask(**{"00100020": "P2", "limit": "1", "offset": "1"}) == ["1.2.3"]
    assert await ask(AccessionNumber="A1", includefield="all") == ["1.2.1"]
    assert await ask(PatientName="müller*") == ["1.2.1"]
    assert await ask(StudyDate="20240201-20240228") == ["1.2.2"]
    assert await ask(StudyDate="20240201-") == ["1.2.2", "1.2.3"]
    assert await ask(StudyInstanceUID="1.2.1,1.2.3") == ["1.2.1", "1.2.3"]
    assert await ask(PatientID="") == ["1.2.1", "1.2.2", "1.2.3"]
    assert await ask(PatientID="P") == []
    assert await ask(ModalitiesInStudy="OT", limit="2") == ["1.2.1", "1.2.2"]

    ignored = await archive.get("/dicom-web/studies", params={"ReasonForVisit": "x"})
    assert ignored.headers["Warning"].startswith("299 ")
    assert (await archive.get("/dicom-web/studies", params={"PatientIdd": "P2"})).status == 400
    assert (await archive.get("/dicom-web/studies", params={"limit": "-1"})).status == 400
    first = (await (await archive.get("/dicom-web/studies", params={"PatientID": "P1"})).json(content_type=None))[0]
    assert first["00100010"]["Value"] == [{"Alphabetic": "Müller^Änne"}]
    assert first["00100030"]["Value"] == ["19600101"]
    assert first["00201208"]["Value"] == [1]


async def test_what_is_not_there_is_404(archive: TestClient) -> None:
    assert (await archive.get("/dicom-web/studies/1.2.3")).status == 404
    assert (await archive.get("/dicom-web/studies/1.2.3/metadata")).status == 404


async def test_fifty_senders_of_one_uid_leave_one_content(archive: TestClient) -> None:
    contents = [instance(study="1.2.3", uid="1.2.3.9", pixels=bytes([n]) * 4) for n in range(50)]
    answers = await asyncio.gather(
        *(archive.post("/dicom-web/studies", data=body(one), headers=STOW) for one in contents)
    )
    winners = [data for data, answer in zip(contents, answers, strict=True) if answer.status == 200]
    assert len(winners) == 1
    url = "/dicom-web/studies/1.2.3/series/1.2.3.1/instances/1.2.3.9"
    assert await (await archive.get(url, headers={"Accept": "application/dicom"})).read() == winners[0]


async def test_the_page_lists_what_arrived_without_letting_names_become_markup(archive: TestClient) -> None:
    assert "Nothing has arrived yet" in await (await archive.get("/")).text()
    sent = instance(study="1.2.3", PatientName="<script>^X", PatientID="P1", PatientBirthDate="19600102")
    await archive.post("/dicom-web/studies", data=body(sent), headers=STOW)
    answer = await archive.get("/")
    html = await answer.text()
    assert "&lt;script&gt; X" in html
    assert "<script" not in html
    assert "1960-01-02" in html
    assert "1 study, 1 instance." in html
    assert "color-scheme: light dark" in html
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_a_web_page_that_points_its_own_name_here_is_turned_away(archive: TestClient) -> None:
    assert (await archive.get("/dicom-web/studies", headers={"Host": "evil.example"})).status == 421
    assert (await archive.get("/dicom-web/studies", headers={"Host": "localhost:8042"})).status == 200
    assert (await archive.get("/dicom-web/studies", headers={"Host": "[::1]:8042"})).status == 200


async def test_a_large_instance_streams_through_and_arrives_whole(archive: TestClient) -> None:
    pixels = hashlib.shake_128(b"seed").digest(1 << 20) * 24
    data = instance(study="1.2.3", uid="1.2.3.9", pixels=pixels)

    async def in_pieces():
        whole = body(data)
        for at in range(0, len(whole), 70_001):
            yield whole[at : at + 70_001]

    answer = await archive.post("/dicom-web/studies", data=in_pieces(), headers=STOW)
    assert answer.status == 200
    url = "/dicom-web/studies/1.2.3/series/1.2.3.1/instances/1.2.3.9"
    back = await (await archive.get(url, headers={"Accept": "application/dicom"})).read()
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
