"""The DICOMweb target against a PACS that lies, stalls, hangs up and babbles."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hooks.contract import (
    BatchTooLarge,
    Comparison,
    Instance,
    LookupRefused,
    Outcome,
    OutcomeKind,
    PatientRecord,
    SourceBroke,
    Stopped,
    TargetDown,
    TargetMisconfigured,
)
from hooks.targets.stow import DicomWebTarget
from tests.dicom_samples import BytesSource, as_instance, instance, smuggler, study
from tests.unit.hooks.targets.scripted_pacs import scripted, stow_answer
from tools.ports import free_port

STORED = Outcome(OutcomeKind.STORED)
UNKNOWN = Outcome(OutcomeKind.UNKNOWN)
BATCH = [as_instance(data, name) for data, name in zip(study(3, pixel_bytes=100_000), "abc", strict=True)]


def never():
    return False


def stores_all(call):
    call.answer_json(200, stow_answer({one.sop_instance_uid: None for one in BATCH}))


def target(pacs, **options):
    return DicomWebTarget(pacs.url, **options)


def parts_of(call):
    """Bodies of a request's parts, taken apart by its own boundary."""
    boundary = call.header("Content-Type").partition("boundary=")[2].encode()
    pieces = call.body.split(b"--" + boundary)
    assert (pieces[0], pieces[-1]) == (b"", b"--\r\n")
    return [piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in pieces[1:-1]]


def test_the_bytes_of_each_instance_are_sent_as_they_are():
    with scripted(stores_all) as pacs:
        assert target(pacs).deliver(BATCH, never) == dict.fromkeys("abc", STORED)
        [call] = pacs.calls
    assert call.path == "/dicom-web/studies"
    assert call.header("Accept") == "application/dicom+json"
    assert call.header("Content-Length") == str(len(call.body))
    assert not call.header("Transfer-Encoding")
    assert parts_of(call) == [one.open().read_at(0, one.size_bytes) for one in BATCH]


def test_the_boundary_is_another_for_every_attempt():
    with scripted(stores_all) as pacs:
        to = target(pacs)
        for _ in range(3):
            to.deliver(BATCH, never)
        assert len({call.header("Content-Type") for call in pacs.calls}) == 3


def test_a_connection_serves_one_request_after_another():
    ports = set()

    def script(call):
        ports.add(call.handler.client_address)
        stores_all(call)

    with scripted(script) as pacs:
        to = target(pacs)
        for _ in range(3):
            to.deliver(BATCH, never)
    assert len(ports) == 1


def test_sources_are_opened_for_each_attempt_and_closed():
    opened = []

    def open_one():
        opened.append(BytesSource(data))
        return opened[-1]

    data = instance()
    facts = as_instance(data, "a")
    one = Instance(**{name: getattr(facts, name) for name in Instance.__slots__ if name != "open"} | {"open": open_one})
    with scripted(lambda call: call.answer(503)) as pacs:
        to = target(pacs)
        for _ in range(2):
            with pytest.raises(TargetDown):
                to.deliver([one], never)
    assert [source.closed for source in opened] == [True, True]


@pytest.mark.parametrize(("auth", "header"), [
    (("basic", "relay", "p:w ü"), "Basic cmVsYXk6cDp3IMO8"),
    (("bearer", "tok.en"), "Bearer tok.en"),
    (None, ""),
])  # fmt: skip
def test_credentials(auth, header, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with scripted(stores_all) as pacs:
        target(pacs, auth=auth).deliver(BATCH, never)
        assert pacs.calls[0].header("Authorization") == header


@pytest.mark.parametrize("auth", [("digest", "a", "b"), ("bearer", "two\nlines"), ("bearer", "ü"), ("basic", "a")])
def test_credentials_that_cannot_be_sent_are_refused_at_once(auth):
    with pytest.raises(ValueError, match="auth"):
        DicomWebTarget("http://127.0.0.1:1", auth=auth)


@pytest.mark.parametrize("url", ["ftp://pacs", "http://user:secret@pacs", "pacs.example.org", ""])
def test_urls_that_cannot_be_used_are_refused_without_being_repeated(url):
    with pytest.raises(ValueError) as raised:
        DicomWebTarget(url)
    assert "secret" not in str(raised.value)


def test_a_redirect_is_not_followed():
    with scripted(stores_all) as other:

        def script(call):
            call.answer(307, Location=other.url + "/studies")

        with scripted(script) as pacs, pytest.raises(TargetMisconfigured) as raised:
            target(pacs).deliver(BATCH, never)
        assert raised.value.code == "http_307"
        assert not other.calls


def test_a_refusal_before_the_body_was_read_is_understood_and_ends_the_connection():
    """nginx answers 413 from the Content-Length alone and closes."""
    large = as_instance(instance(rows=4096, columns=4096), "large")
    ports = []

    def script(call):
        ports.append(call.handler.client_address)
        call.answer(413, b"<html>", "text/html", Connection="close")
        call.handler.close_connection = True

    with scripted(script, reads_bodies=False) as pacs:
        to = target(pacs)
        for _ in range(2):
            with pytest.raises(BatchTooLarge):
                to.deliver([large], never)
    assert len(set(ports)) == 2


def test_success_before_the_body_was_read_is_no_success():
    large = as_instance(instance(rows=4096, columns=4096), "large")

    def script(call):
        call.answer_json(200, stow_answer({large.sop_instance_uid: None}))
        call.handler.connection.shutdown(socket.SHUT_RD)
        call.handler.close_connection = True

    with scripted(script, reads_bodies=False) as pacs, pytest.raises(TargetDown):
        target(pacs).deliver([large], never)


def test_stop_ends_the_transfer_within_a_mebibyte():
    large = as_instance(instance(rows=4096, columns=4096), "large")
    asked: list[None] = []

    def stop():
        asked.append(None)
        return len(asked) > 3

    got = []

    def script(call):
        try:
            while piece := call.handler.rfile.read1(65536):
                got.append(len(piece))
        except OSError:
            return

    with scripted(script, reads_bodies=False) as pacs, pytest.raises(Stopped):
        target(pacs).deliver([large], stop)
    assert sum(got) <= 4 * 2**20
    assert len(asked) == 4


@pytest.mark.parametrize("wrong_by", [-7, 7])
def test_an_instance_that_is_not_as_long_as_declared_is_never_sent_whole(wrong_by):
    data = instance()
    honest = as_instance(data, "a")
    values = {name: getattr(honest, name) for name in Instance.__slots__}
    liar = Instance(**values | {"size_bytes": len(data) + wrong_by})
    with scripted(stores_all) as pacs:
        with pytest.raises(SourceBroke):
            target(pacs).deliver([liar], never)
        assert not any(data[:-10] in call.body for call in pacs.calls)


def test_what_a_source_raises_is_not_blamed_on_the_pacs():
    class Broken(BytesSource):
        def read_at(self, offset, size):
            raise OSError(5, "Input/output error")

    data = instance()
    honest = as_instance(data, "a")
    values = {name: getattr(honest, name) for name in Instance.__slots__}
    with scripted(stores_all) as pacs, pytest.raises(OSError, match="Input/output"):
        target(pacs).deliver([Instance(**values | {"open": lambda: Broken(data)})], never)


def test_one_uid_twice_in_a_batch_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="twice"):
        DicomWebTarget("http://127.0.0.1:1").deliver([BATCH[0], BATCH[0]], never)


def test_nobody_listens():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(TargetDown) as raised:
        DicomWebTarget(url).deliver(BATCH, never)
    assert raised.value.code == "connect_failed"


def test_a_server_that_does_not_speak_tls():
    with scripted(stores_all) as pacs, pytest.raises(TargetDown) as raised:
        DicomWebTarget(pacs.url.replace("http:", "https:")).deliver(BATCH, never)
    assert raised.value.code == "tls_failed"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """PEM file with a key and a certificate for 127.0.0.1 that nobody else has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pacs")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "pacs.pem"
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(plain + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_pacs_behind_tls_is_trusted_by_its_ca(tls, certificate):
    with scripted(stores_all, tls=tls) as pacs:
        to = target(pacs, ca_bundle=str(certificate))
        for _ in range(2):
            assert to.deliver(BATCH, never) == dict.fromkeys("abc", STORED)
        to.close()


def test_a_certificate_of_nobody_we_know_is_refused(tls):
    with scripted(stores_all, tls=tls) as pacs:
        with pytest.raises(TargetDown) as raised:
            target(pacs).deliver(BATCH, never)
        assert raised.value.code == "tls_failed"
        assert not pacs.calls


def test_an_answer_that_trickles_through_tls_is_cut_off(tls, certificate):
    with scripted(trickles_body, tls=tls) as pacs, pytest.raises(TargetDown) as raised:
        target(pacs, ca_bundle=str(certificate), answer_timeout_s=0.5).deliver(BATCH, never)
    assert raised.value.code == "timed_out"


def hangs_up(call):
    call.handler.close_connection = True


def breaks_off_in_the_headers(call):
    call.handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
    call.handler.close_connection = True


def test_an_archive_that_breaks_off_has_not_said_that_nothing_is_there():
    with scripted(breaks_off_in_the_headers) as pacs, pytest.raises(TargetDown) as raised:
        target(pacs).present("1.2.3", ["1.2.4"])
    assert raised.value.code == "connection_lost"


def babbles(call):
    call.handler.wfile.write(b"\x00\xffnot http at all\r\n\r\n")
    call.handler.close_connection = True


def breaks_off(call):
    call.handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\nContent-Length: 500\r\n\r\n{")
    call.handler.close_connection = True


@pytest.mark.parametrize("script", [hangs_up, babbles, breaks_off])
@pytest.mark.parametrize("ask", [
    lambda to: to.deliver(BATCH, never),
    lambda to: to.present("1.2.3", ["1.2.4"]),
    lambda to: to.patients(patient_id="P1"),
    lambda to: to.compare(BATCH[0]),
    lambda to: to.probe(),
], ids=["deliver", "present", "patients", "sha256", "probe"])  # fmt: skip
def test_a_broken_answer_is_a_target_that_is_down(script, ask):
    with scripted(script) as pacs, pytest.raises(TargetDown) as raised:
        ask(target(pacs))
    assert raised.value.code == "connection_lost"
    assert raised.value.__suppress_context__, "the library's own words hold the URL"


def trickles_headers(call):
    call.handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    trickle(call, b"X-Slow: 1\r\n")


def trickles_body(call):
    call.handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 100000\r\n\r\n"
    )
    trickle(call, b" ")


def trickle(call, piece):
    try:
        while True:
            call.handler.wfile.write(piece)
            time.sleep(0.05)
    except OSError:
        call.handler.close_connection = True


@pytest.mark.parametrize("script", [trickles_headers, trickles_body])
def test_an_answer_that_trickles_is_cut_off(script):
    with scripted(script) as pacs:
        began = time.monotonic()
        with pytest.raises(TargetDown) as raised:
            target(pacs, answer_timeout_s=0.5).deliver(BATCH, never)
        assert raised.value.code == "timed_out"
        assert time.monotonic() - began < 5


def test_silence_times_out():
    done = threading.Event()
    with scripted(lambda call: done.wait(10)) as pacs:
        with pytest.raises(TargetDown) as raised:
            target(pacs, answer_timeout_s=0.3).deliver(BATCH, never)
        done.set()
    assert raised.value.code == "timed_out"


def test_an_endless_answer_is_not_read_to_its_end():
    def script(call):
        call.handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n\r\n")
        try:
            while True:
                call.handler.wfile.write(b" " * 2**16)
        except OSError:
            call.handler.close_connection = True

    with scripted(script) as pacs, pytest.raises(TargetDown) as raised:
        target(pacs).deliver(BATCH, never)
    assert raised.value.code == "answer_too_long"


def test_a_coding_that_was_not_asked_for_is_not_unfolded():
    with scripted(lambda call: call.answer(200, b"\x1f\x8b", Content_Encoding="gzip")) as pacs:
        with pytest.raises(TargetDown) as raised:
            target(pacs).deliver(BATCH, never)
        assert pacs.calls[0].header("Accept-Encoding") == "identity"
    assert raised.value.code == "unasked_content_coding"


def test_retry_after_reaches_the_caller():
    with scripted(lambda call: call.answer(503, Retry_After="42")) as pacs, pytest.raises(TargetDown) as raised:
        target(pacs).deliver(BATCH, never)
    assert (raised.value.code, raised.value.retry_after_s) == ("http_503", 42.0)


def test_a_request_is_tried_once():
    with scripted(lambda call: call.answer(503)) as pacs:
        for ask in (lambda to: to.deliver(BATCH, never), lambda to: to.present("1.2", ["1.3"])):
            with pytest.raises(TargetDown):
                ask(target(pacs))
        assert len(pacs.calls) == 2


def test_threads_share_a_target():
    with scripted(stores_all) as pacs:
        to = target(pacs, max_connections=2)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: to.deliver(BATCH, never), range(20)))
        to.close()
    assert answers == [dict.fromkeys("abc", STORED)] * 20


def test_no_log_line_and_no_error_says_whom_it_was_about(caplog):
    caplog.set_level(logging.DEBUG)

    def script(call):
        call.answer(500, b"patient SECRETNAME", Warning="299 SECRETNAME")

    with scripted(script) as pacs, pytest.raises(TargetDown) as raised:
        target(pacs).patients(patient_id="SECRET-ID")
    assert "SECRET" not in caplog.text
    assert "SECRET" not in repr(raised.value)


# --- QIDO-RS --------------------------------------------------------------------------------------------------------


def record(number, patient_id="P1"):
    return {
        "00080018": {"vr": "UI", "Value": [f"1.2.{number}"]},
        "00100020": {"vr": "LO", "Value": [patient_id]},
    }


def query(call):
    return dict(pair.partition("=")[::2] for pair in call.path.partition("?")[2].split("&"))


def archive_of(count, *, most=10**6, honours_offset=True, honours_limit=True):
    def script(call):
        asked = query(call)
        offset = int(asked.get("offset", 0)) if honours_offset else 0
        limit = int(asked.get("limit", 10**6)) if honours_limit else 10**6
        call.answer_json(200, [record(n) for n in range(count)][offset : offset + min(limit, most)])

    return script


@pytest.mark.parametrize("archive", [
    archive_of(25),
    archive_of(30),
    archive_of(25, most=4),
    archive_of(25, honours_offset=False),
    archive_of(25, honours_offset=False, honours_limit=False),
    archive_of(10, honours_offset=False),
], ids=["pages", "full pages", "short pages", "ignores offset", "ignores both", "one full page"])  # fmt: skip
def test_pages_are_put_together_and_end(archive):
    with scripted(archive) as pacs:
        found = target(pacs, page_size=10).present("1.2.3", ["1.2.4"])
    assert len(found) in {10, 25, 30}
    assert found == {f"1.2.{n}": "P1" for n in range(len(found))}
    expected = 30 if len(found) == 30 else 10 if len(found) == 10 else 25
    assert len(found) == expected


def test_each_series_is_asked_for():
    with scripted(lambda call: call.answer(204)) as pacs:
        assert target(pacs).present("1.2.3", ["1.2.4", "1.2.5"]) == {}
        assert [call.path.partition("?")[0] for call in pacs.calls] == [
            "/dicom-web/studies/1.2.3/series/1.2.4/instances",
            "/dicom-web/studies/1.2.3/series/1.2.5/instances",
        ]


def test_a_study_that_an_archive_does_not_find_is_not_there():
    def script(call):
        call.answer(404 if "/series/" in call.path else 204)

    with scripted(script) as pacs:
        assert target(pacs).present("1.2.3", ["1.2.4"]) == {}


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_an_archive_that_answers_no_queries(status):
    with scripted(lambda call: call.answer(status)) as pacs:
        for ask in (lambda to: to.present("1.2.3", ["1.2.4"]), lambda to: to.patients(patient_id="P1")):
            with pytest.raises(LookupRefused) as raised:
                ask(target(pacs))
            assert raised.value.code == f"http_{status}"


def test_wrong_credentials_are_no_refused_lookup():
    with scripted(lambda call: call.answer(401)) as pacs, pytest.raises(TargetMisconfigured):
        target(pacs).present("1.2.3", ["1.2.4"])


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'"x"', b"[" * 100_000])
def test_a_query_answered_by_something_else(body):
    with scripted(lambda call: call.answer(200, body)) as pacs, pytest.raises(TargetDown) as raised:
        target(pacs).present("1.2.3", ["1.2.4"])
    assert raised.value.code == "not_dicom_json"


def test_records_that_make_no_sense_are_passed_over():
    odd = [{}, {"00080018": 5}, {"00080018": {"Value": [5]}}, {"00080018": {"Value": []}}, record(1)]
    with scripted(lambda call: call.answer_json(200, odd)) as pacs:
        assert target(pacs).present("1.2.3", ["1.2.4"]) == {"1.2.1": "P1"}


@pytest.mark.parametrize("uid", ["", "1.2/../3", "1.2?x", "not a uid", "1" * 65])
def test_what_is_no_uid_gets_into_no_url(uid):
    with pytest.raises(ValueError, match="not a UID"):
        DicomWebTarget("http://127.0.0.1:1").present(uid, ["1.2"])


def patient(patient_id, name="DOE^JANE", birth_date="19700101", accession=""):
    return {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": name, "Ideographic": "山田"}]},
        "00100020": {"vr": "LO", "Value": [patient_id]},
        "00100030": {"vr": "DA", "Value": [birth_date]},
        "00080050": {"vr": "SH", "Value": [accession]},
    }


def test_each_patient_comes_once_however_many_studies_there_are():
    studies = [patient("P1"), patient("P1"), patient("P1", birth_date="19800101")]
    with scripted(lambda call: call.answer_json(200, studies)) as pacs:
        assert target(pacs).patients(patient_id="P1") == [
            PatientRecord("P1", "DOE^JANE=山田", "19700101"),
            PatientRecord("P1", "DOE^JANE=山田", "19800101"),
        ]
        assert query(pacs.calls[0])["PatientID"] == "P1"


def test_wildcards_in_an_id_match_only_themselves():
    with scripted(lambda call: call.answer_json(200, [patient("P1"), patient("P*")])) as pacs:
        assert [found.patient_id for found in target(pacs).patients(patient_id="P*")] == ["P*"]


def test_an_id_cannot_add_to_the_query():
    with scripted(lambda call: call.answer(204)) as pacs:
        assert target(pacs).patients(patient_id="x y+&limit=0#?") == []
        assert [query(call)["PatientID"] for call in pacs.calls] == ["x%20y%2B%26limit%3D0%23?", "x?y??limit?0??"]
        assert all(query(call)["limit"] == "200" for call in pacs.calls)


def test_an_archive_that_decodes_nothing_is_asked_again_with_wildcards():
    def script(call):
        found = [patient("A 1"), patient("A-1")] if query(call)["PatientID"] == "A?1" else []
        call.answer_json(200, found)

    with scripted(script) as pacs:
        assert [found.patient_id for found in target(pacs).patients(patient_id="A 1")] == ["A 1"]


def test_patients_are_asked_for_by_accession_number():
    with scripted(
        lambda call: call.answer_json(200, [patient("P1", accession="A1"), patient("P2", accession="A2")])
    ) as pacs:
        assert [found.patient_id for found in target(pacs).patients(accession_number="A1")] == ["P1"]


def test_patients_need_something_to_ask_for():
    with pytest.raises(ValueError, match="neither"):
        DicomWebTarget("http://127.0.0.1:1").patients()


# --- WADO-RS --------------------------------------------------------------------------------------------------------


def multipart(data, boundary="XYZ"):
    return (
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + data + f"\r\n--{boundary}--\r\n".encode()
    )


def test_the_part_alone_is_compared():
    data = BATCH[0].open().read_at(0, BATCH[0].size_bytes)
    content_type = 'multipart/related; type="application/dicom"; boundary=XYZ'
    with scripted(lambda call: call.answer(200, multipart(data), content_type)) as pacs:
        assert target(pacs).compare(BATCH[0]) is Comparison.SAME
        assert "transfer-syntax=*" in pacs.calls[0].header("Accept")
    with scripted(lambda call: call.answer(200, multipart(data + b"\0"), content_type)) as pacs:
        assert target(pacs).compare(BATCH[0]) is Comparison.DIFFERENT


@pytest.mark.parametrize(("status", "content_type"), [
    (200, "text/html"), (200, "multipart/related"), (403, ""), (404, ""), (406, ""), (501, ""),
])  # fmt: skip
def test_an_archive_that_gives_nothing_back_is_not_compared(status, content_type):
    with scripted(lambda call: call.answer(status, b"x", content_type)) as pacs:
        assert target(pacs).compare(BATCH[0]) is Comparison.UNAVAILABLE


def test_a_crafted_instance_smuggles_nothing_in():
    """Its private element holds the boundary that it saw in an earlier request."""
    seen = []

    def script(call):
        seen.append(call)
        call.answer_json(200, stow_answer())

    with scripted(script) as pacs:
        to = target(pacs)
        to.deliver(BATCH, never)
        boundary = seen[0].header("Content-Type").partition("boundary=")[2]
        crafted = smuggler(boundary, instance(patient_id="SMUGGLED"))
        to.deliver([as_instance(crafted, "x")], never)
    assert parts_of(seen[1]) == [crafted]


def test_a_line_that_breaks_inside_tls_is_a_broken_line_and_no_bad_certificate(certificate):
    """A proxy that is restarted ends TLS without a word (`SSLEOFError`)."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer_nothing() -> None:
            line, _ = listening.accept()
            with line:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate)
                inside = context.wrap_socket(line, server_side=True)
                inside.recv(10)
                socket.socket.shutdown(inside, socket.SHUT_RDWR)
                inside.detach()

        thread = threading.Thread(target=answer_nothing)
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/dicom-web"
        with pytest.raises(TargetDown) as raised:
            DicomWebTarget(url, ca_bundle=str(certificate)).deliver(BATCH, never)
        thread.join()
    assert raised.value.code == "connection_lost"
