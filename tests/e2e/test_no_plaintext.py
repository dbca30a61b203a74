"""Nothing of a patient is on the gateway's disk unencrypted, at any time: not in the spool, the ledger, its log, a temp
file, a log.

Markers stand for all that clients send. Every byte that the gateway writes is looked through while bytes come, after a
kill, after every kind of refusal, after delivery and purge. The control plants them, and must find each.
"""

from __future__ import annotations

import base64
import http.server
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.dicom_samples import element, instance, new_uid
from tests.e2e.conftest import pacs_of
from tests.e2e.lab import OCTETS, PASSWORD, UPLOADER, Http, Lab, Pacs, begin_patch, running_lab, wait_until
from tests.e2e.orthanc import Orthanc
from tests.e2e.plaintext import Scanner, planted
from tests.e2e.series import write_series

pytestmark = pytest.mark.root

STUDY_UID, SERIES_UID = new_uid(), new_uid()
SOP_UIDS = [new_uid() for _ in range(5)]

MARKERS = {
    "patient name": "ZQWMARKNAME",
    "given name": "ZQWGIVENNAME",
    "patient id": "ZQW-PID-778312",
    "birth date": "18430217",
    "birth date, dashed": "1843-02-17",
    "study date": "18871104",
    "accession number": "ZQWACC5520817",
    "description": "ZQWSTUDYDESCRIPTION",
    "physician": "ZQWREFERRER",
    "institution": "ZQWINSTITUTION",
    "private value": "ZQWPRIVATEVALUE",
    "pixels": "ZQWPIXELDATA",
    "clinical notes": "ZQWCLINICALNOTE",
    "other field": "ZQWOTHERFIELD",
    "uploader": "ZQWUPLOADERNAME",
    "organisation": "ZQWORGANISATION",
    "phone": "ZQW0049551234",
    "file name": "ZQWFILENAME",
    "metadata": "ZQWMETADATAVALUE",
    "file_id": "ZQW_FILE_ID",
    "skip reason": "ZQWSKIPREASON",
    "path": "ZQWPATHSEGMENT",
    "header": "ZQWHEADERVALUE",
    "field name": "ZQWFIELDNAME",
    "password": PASSWORD.replace(" ", "X"),
    "typed user name": "ZQWTYPEDUSER",
    "study uid": STUDY_UID,
    "series uid": SERIES_UID,
    **{f"sop uid {number}": uid for number, uid in enumerate(SOP_UIDS)},
}
M = MARKERS
SCANNER = Scanner(MARKERS)

METADATA = {
    "patient_name": f"{M['patient name']}^{M['given name']}",
    "patient_id": M["patient id"],
    "patient_birth_date": M["birth date"],
    "study_date": M["study date"],
    "accession_number": M["accession number"],
    "study_description": M["description"],
    "referring_physician": M["physician"],
    "study_instance_uid": STUDY_UID,
    "remarks": M["other field"],
}
UPLOADER_FIELDS = {"name": M["uploader"], "organisation": M["organisation"], "phone": M["phone"]}


def dicom(number: int, **more: object) -> bytes:
    """A file of which every value that could tell is a marker."""
    texts = {
        0x00080080: ("LO", M["institution"]),
        0x00080090: ("PN", M["physician"]),
        0x00081030: ("LO", M["description"]),
        0x00290010: ("LO", "TEST"),
        0x00291001: ("LT", M["private value"]),
    }
    size = 400 * 400
    values: dict[str, object] = {
        "sop_instance_uid": SOP_UIDS[number],
        "study_instance_uid": STUDY_UID,
        "series_instance_uid": SERIES_UID,
        "patient_id": M["patient id"],
        "patient_name": METADATA["patient_name"],
        "patient_birth_date": M["birth date"],
        "study_date": M["study date"],
        "accession_number": M["accession number"],
        "rows": 400,
        "columns": 400,
        "pixel_data": (M["pixels"].encode() * (size // 12 + 1))[:size],
        "extra": b"".join(element(tag, vr, value) for tag, (vr, value) in texts.items()),
    }
    return instance(**(values | more))  # type: ignore[arg-type]  # a table of keywords


def places(lab: Lab) -> list[Path]:
    """All that the gateway's processes write: everything in the folder but its configuration and what was sent."""
    return [path for path in lab.folder.iterdir() if path not in {lab.config, lab.folder / "sent"}]


def scan(lab: Lab) -> None:
    assert lab.database.exists()
    assert SCANNER.hits(places(lab)) == []


def open_marked(lab: Lab, files: list[bytes], **metadata: str) -> tuple[str, Http]:
    return lab.open_upload(
        lab.login(), files, study_metadata=METADATA | metadata, uploader=UPLOADER_FIELDS,
        clinical_notes=f"{M['clinical notes']} " * 100,
    )  # fmt: skip


def multipart(file_id: str, index: int, total: int, payload: bytes) -> tuple[bytes, dict[str, str]]:
    boundary = "zyxwvu"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in (("chunk_index", index), ("total_chunks", total), ("file_id", file_id))
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="binary_payload"; filename="{M["file name"]}.dcm"\r\n'
    parts.insert(1, f"{head}Content-Type: application/dicom\r\n\r\n".encode() + payload + b"\r\n")
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


@pytest.fixture
def lab(tmp_path: Path, orthanc: Orthanc) -> Iterator[Lab]:
    settings = {"uploads": {"chunk_size": "64KiB"}}
    with running_lab(tmp_path / "gateway", pacs_of(orthanc), settings=settings) as lab:
        yield lab


def test_nothing_readable_lies_on_the_disk_from_the_first_byte_to_the_purge(lab: Lab, orthanc: Orthanc) -> None:
    files = [dicom(number) for number in range(4)]
    half = 50_000
    upload_id, client = open_marked(lab, files)
    metadata = {"file_id": M["file_id"], "filename": f"{M['file name']}.dcm", "note": M["metadata"]}

    # Half of it is there: a PATCH that hangs, a whole creation, raw chunks, chunks in multipart bodies.
    url = client.create(len(files[0]), metadata).expect(201).headers["Location"]
    line = begin_patch(client, url, 0, len(files[0]), files[0][:half])
    client.create(len(files[1]), {"filename": M["file name"]}, files[1]).expect(201)
    chunks = [files[2][at : at + 65536] for at in range(0, len(files[2]), 65536)]
    client.chunk(upload_id, M["file_id"] + "_2", 1, chunks[1]).expect(200)
    for index in (2, 0):
        body, headers = multipart(M["file_id"] + "_3", index, len(chunks), files[3][index * 65536 :][:65536])
        client.call("PUT", f"/upload/{upload_id}/chunk", body, headers).expect(200)
    assert client.head(url).offset == half  # cuts it: its bytes are sealed
    line.close()
    scan(lab)

    lab.kill()
    scan(lab)
    lab.start()
    scan(lab)

    # The rest, the delivery, the purge.
    client.patch(url, half, files[0][half:]).expect(204)
    for index, chunk in enumerate(chunks):
        client.chunk(upload_id, M["file_id"] + "_2", index, chunk, len(chunks)).expect(200)
        body, headers = multipart(M["file_id"] + "_3", index, len(chunks), files[3][index * 65536 :][:65536])
        client.call("PUT", f"/upload/{upload_id}/chunk", body, headers).expect(200)
    assert client.complete(upload_id).expect(200).json["status"] == "success"
    assert len(orthanc.instances()) == 5, "and the notes"
    receipt = client.call("GET", f"/upload/{upload_id}/receipt").expect(200).body.decode().split(".")[1]
    assert SOP_UIDS[0] in base64.urlsafe_b64decode(receipt + "==").decode()  # an issued receipt may have them
    lab.spool_empties()
    scan(lab)
    lab.stop()
    scan(lab)


def test_nothing_readable_is_left_by_requests_that_are_refused(lab: Lab) -> None:
    data = dicom(0)
    upload_id, client = open_marked(lab, [data] * 3)
    for name, refuse in refusals(lab, client, upload_id, data).items():
        status = refuse()
        assert name.startswith(f"{status} "), f"{name}: {status}"
    assert_answers_are_clean(lab, client, upload_id)
    scan(lab)
    lab.stop()
    scan(lab)


def refusals(lab: Lab, client: Http, upload_id: str, data: bytes) -> dict[str, Callable[[], int]]:
    """Requests that are full of markers and are refused: what they should get -> how to ask."""
    access = lab.login()
    url = client.create(len(data), {"filename": M["file name"]}).expect(201).headers["Location"]
    client.chunk(upload_id, "mine", 0, data[:65536]).expect(200)
    init = {"study_metadata": METADATA, "total_files": 1, "total_size_bytes": 1}
    wrong = {"Content-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:", "X-Note": M["header"]}
    octets = {"Content-Type": "application/octet-stream"}
    chunk = f"/upload/{upload_id}/chunk?file_id={M['file_id']}&chunk_index=0"
    login = {"username": M["typed user name"], "password": M["password"]}
    filename = base64.b64encode(M["file name"].encode()).decode()

    def init_with(**more: object) -> Callable[[], int]:
        return lambda: access.call("POST", "/upload/init", init | more).status

    def raw(request: str) -> Callable[[], int]:
        return lambda: raw_status(lab.url, request)

    return {
        "400 metadata that can't be read": lambda: client.tus(
            "POST", "/files/", None, {"Upload-Length": "5", "Upload-Metadata": f"{M['metadata']} {M['file name']}!"}
        ).status,
        "400 JSON that can't be read": lambda: access.call(
            "POST", "/upload/init", json.dumps(init).encode()[:-9], {"Content-Type": "application/json"}
        ).status,
        "400 a header line without a colon": raw(f"GET /healthz HTTP/1.1\r\nHost: x\r\n{M['header']}\r\n\r\n"),
        "400 a request line of nonsense": raw(f"{M['header']} {M['path']}\r\n\r\n"),
        "400 multipart that ends too soon": lambda: client.call(
            "PUT", f"/upload/{upload_id}/chunk", multipart(M["file_id"], 0, 1, data[:70])[0][:250],
            {"Content-Type": f"multipart/form-data; boundary={M['header']}"},
        ).status,
        "401 a token of nonsense": lambda: client.with_token(M["header"]).head(url).status,
        "401 a login": lambda: lab.http.call("POST", "/auth/login", login).status,
        "404 a path": lambda: client.call("GET", f"/{M['path']}/{M['patient id']}?q={M['patient name']}").status,
        "404 a file": lambda: client.head(f"/files/{M['path']}").status,
        "403 an upload": lambda: client.call("GET", f"/upload/{M['path']}/status").status,
        "409 an offset": lambda: client.patch(url, 7, data[:4000], {"X-Note": M["header"]}).status,
        "409 other bytes of a chunk": lambda: client.chunk(upload_id, "mine", 0, data[-65536:]).status,
        "409 complete": lambda: client.complete(upload_id, wish={"skipped": [{"reason": M["skip reason"]}]}).status,
        "412 another version": lambda: client.call("HEAD", url, headers={"Tus-Resumable": M["header"]}).status,
        "413 a file": lambda: client.create(10**14, {"filename": M["file name"]}).status,
        "431 a head": raw(f"GET /{M['path']} HTTP/1.1\r\nHost: x\r\nX-Note: {M['header'] * 3000}\r\n\r\n"),
        "415 a media type": lambda: client.patch(url, 0, data, {"Content-Type": f"text/{M['header']}"}).status,
        "422 an unknown field": init_with(**{M["field name"]: M["other field"]}),
        "422 a name that is a list": init_with(study_metadata={"patient_name": [M["patient name"]]}),
        "422 an endpoint": init_with(endpoint_id=M["other field"]),
        "422 a file_id": lambda: client.call("PUT", chunk.replace("=ZQ", "=%20ZQ"), data[:65536], octets).status,
        "460 a digest": lambda: client.call("PUT", chunk + "&total_chunks=1", data[:65536], octets | wrong).status,
        "422 notes": init_with(clinical_notes=M["clinical notes"] * 2000),
        "400 another protocol": lambda: client.call(
            "POST", "/files/", data,
            {"Upload-Complete": "?1", "Upload-Length": "7", "Content-Disposition": f'x; filename="{M["file name"]}"'},
        ).status,
        "400 a checksum": lambda: client.tus(
            "POST", "/files/", data, {
                "Upload-Length": str(len(data)), "Upload-Metadata": f"filename {filename}",
                "Upload-Checksum": f"sha1 {base64.b64encode(M['header'].encode()).decode()}", "Content-Type": OCTETS,
            }
        ).status,
    }  # fmt: skip


def raw_status(url: str, request: str) -> int:
    parts = urlsplit(url)
    with closing(socket.create_connection((parts.hostname or "", parts.port or 80), timeout=20)) as line:
        line.sendall(request.encode())
        return int(line.recv(64).split(b" ")[1])


def assert_answers_are_clean(lab: Lab, client: Http, upload_id: str) -> None:
    """What a bearer is told of an upload has no value of a patient, either: UIDs and the client's own file_id aside."""
    told = lab.folder / "told"
    told.mkdir()
    for name in ("status", "files"):
        (told / name).write_bytes(client.call("GET", f"/upload/{upload_id}/{name}").expect(200).body)
    assert [hit for hit in SCANNER.hits([told]) if "uid" not in hit.marker and hit.marker != "file_id"] == []
    shutil.rmtree(told)


@pytest.mark.parametrize(
    ("end", "metadata", "spoil"),
    [
        ("held", {"patient_id": "SOMEBODY-ELSE"}, None),
        ("failed", {}, lambda data: data[:-1000]),
        ("failed", {}, lambda data: b"MZ" + data[2:]),
    ],
    ids=["held for a mismatch", "truncated", "executable"],
)
def test_nothing_readable_is_left_where_the_check_says_no(
    lab: Lab, end: str, metadata: dict[str, str], spoil: Callable[[bytes], bytes] | None
) -> None:
    data = dicom(0) if spoil is None else spoil(dicom(0))
    upload_id, client = open_marked(lab, [data], **metadata)
    client.create(len(data), {"filename": M["file name"]}, data).expect(201)
    client.complete(upload_id, wait_s=0)
    wait_until(end, lambda: client.status(upload_id)["state"] == end)
    assert_answers_are_clean(lab, client, upload_id)
    scan(lab)
    lab.stop()
    scan(lab)


class Echo(http.server.BaseHTTPRequestHandler):
    """A PACS that fails, and says all it was told in its answer."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"Message": f"bad request {self.path} of {list(MARKERS.values())}"}).encode()
        self.send_response(500, f"Cannot store {M['patient name']} {SOP_UIDS[0]}")
        self.send_header("X-Patient", M["patient name"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture(params=["echoes", "is away"])
def bad_pacs(request: pytest.FixtureRequest) -> Iterator[Pacs]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    url = f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
    if request.param == "is away":
        server.server_close()
        yield Pacs(url)
        return
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Pacs(url)
    server.shutdown()
    server.server_close()
    thread.join()


def test_nothing_readable_is_left_by_a_pacs_that_fails(tmp_path: Path, bad_pacs: Pacs) -> None:
    settings = {"delivery": {"retry_base": "50ms", "retry_for": "2s"}}
    with running_lab(tmp_path / "gateway", bad_pacs, settings=settings) as lab:
        data = dicom(0)
        upload_id, client = open_marked(lab, [data])
        client.create(len(data), {"filename": M["file name"]}, data).expect(201)
        client.complete(upload_id, wait_s=3).expect(200, 202)
        scan(lab)
        lab.kill()
        scan(lab)


def test_nothing_readable_is_left_by_relaypacs_send(lab: Lab) -> None:
    """Its state file and what it prints; file names are markers, too."""
    sent = write_series(lab.folder / "sent", [dicom(number) for number in range(2)])
    for path in sent.files:
        path.rename(path.with_name(f"{M['file name']}-{path.name}"))
    done = lab.send(lab.folder / "sent")
    (lab.folder / "printed").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stderr
    scan(lab)
    lab.stop()
    again = lab.command("send", str(lab.folder / "sent"), "--to", lab.url, "--token", "t", "--patience", "1")
    assert again.returncode not in {0, 3}
    (lab.folder / "printed").write_text(again.stdout + again.stderr)
    scan(lab)


def test_no_token_and_no_password_is_on_the_disk(lab: Lab) -> None:
    login = {"username": UPLOADER, "password": PASSWORD}
    tokens = lab.http.call("POST", "/auth/login", login).expect(200).json
    init = {"study_metadata": {}, "total_files": 1, "total_size_bytes": 1}
    opened = lab.http.with_token(tokens["access_token"]).call("POST", "/upload/init", init).expect(201).json
    found = {"access": tokens["access_token"], "upload": opened["upload_token"]}
    found |= {"refresh": tokens["refresh_token"], "upload's refresh": opened["refresh_token"]}
    scanner = Scanner({"password": PASSWORD, **found})
    assert scanner.hits(places(lab)) == []
    lab.stop()
    assert scanner.hits(places(lab)) == []


def test_control_each_marker_in_each_encoding_is_found_where_it_is_planted(lab: Lab, tmp_path: Path) -> None:
    upload_id, client = open_marked(lab, [dicom(0)])
    client.create(len(dicom(0)), None, dicom(0)[:100_000]).expect(201)
    assert client.status(upload_id)["uploaded_bytes"] == 100_000
    lab.stop()
    copy = tmp_path / "copy"
    shutil.copytree(lab.data, copy)
    assert SCANNER.hits([copy]) == []
    places_to_plant = [copy / "relaypacs.db", next(path for path in (copy / "spool").rglob("*") if path.is_file())]
    for encoding in planted(b"any"):
        whole = [path.read_bytes() for path in places_to_plant]
        for number, value in enumerate(MARKERS.values()):
            plant(places_to_plant[number % 2], planted(value.encode())[encoding], at=1000 + 700 * number)
        missed = set(MARKERS) - {hit.marker for hit in SCANNER.hits([copy])}
        assert not missed, f"as {encoding}"
        for path, data in zip(places_to_plant, whole, strict=True):
            path.write_bytes(data)


def plant(path: Path, form: bytes, at: int) -> None:
    data = path.read_bytes()
    assert at < len(data)
    path.write_bytes(data[:at] + form + data[at:])


def test_control_a_marker_in_a_name_of_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / f"{M['file name']}.dcm").write_bytes(b"")
    assert {hit.marker for hit in SCANNER.hits([tmp_path])} == {"file name"}
