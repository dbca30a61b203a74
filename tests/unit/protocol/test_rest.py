from __future__ import annotations

import base64
import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Malformed, Unprocessable
from gateway.protocol.fields import Digits
from gateway.protocol.rest import COMPLETE, CREDENTIALS, INIT, QR, REASON, prefer_wait
from gateway.protocol.values import check_file_id, is_mailbox, read_digest

GOOD = {"study_metadata": {"patient_name": "DOE^JANE"}, "total_files": 2, "total_size_bytes": 30}
SHA256 = base64.b64encode(hashlib.sha256(b"").digest()).decode()


def refused(read, body, kind: type[GatewayError] = Unprocessable) -> GatewayError:
    with pytest.raises(kind) as caught:
        read(body)
    return caught.value


def test_init_needs_only_three_fields():
    wish = INIT.read(GOOD)
    assert (wish.total_files, wish.total_size_bytes, wish.endpoint_id) == (2, 30, None)
    assert wish.meta() == {"study_metadata": {"patient_name": "DOE^JANE"}, "clinical_notes": "", "uploader": {}}


def test_init_takes_all_that_the_contract_names():
    wish = INIT.read(
        GOOD
        | {
            "endpoint_id": "main",
            "clinical_notes": "pain in the knee",
            "uploader": {"name": "Maria", "organisation": "Practice", "phone": "1", "email": "m@practice.example"},
            "study_metadata": {"priority": "stat", "modality": "MR", "whatever": "else"},
        }
    )
    assert wish.endpoint_id == "main"
    assert wish.clinical_notes == "pain in the knee"
    assert (wish.uploader["phone"], wish.uploader["email"]) == ("1", "m@practice.example")
    assert wish.study_metadata["whatever"] == "else"


@pytest.mark.parametrize("name", GOOD)
def test_init_names_what_is_missing(name):
    error = refused(INIT.read, {key: value for key, value in GOOD.items() if key != name})
    assert (error.code, error.extra["field"]) == ("missing_field", name)


@pytest.mark.parametrize(
    ("extra", "field"),
    [({"clinical_note": "x"}, "clinical_note"), ({"uploader": {"mail": "x"}}, "uploader.mail")],
)
def test_init_names_a_field_it_doesnt_know(extra, field):
    error = refused(INIT.read, GOOD | extra)
    assert (error.code, error.extra["field"]) == ("unknown_field", field)


def test_a_field_name_that_may_be_a_value_isnt_shown():
    error = refused(INIT.read, GOOD | {"DOE^JANE 1970": "x"})
    assert "DOE" not in error.detail
    assert error.extra["field"] == "(not shown)"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("total_files", 0),
        ("total_files", -1),
        ("total_files", "2"),
        ("total_files", 2.0),
        ("total_files", True),
        ("total_files", None),
        ("total_files", 1 << 50),
        ("total_size_bytes", -1),
        ("total_size_bytes", 1 << 60),
        ("total_size_bytes", "30"),
        ("total_size_bytes", []),
        ("endpoint_id", 5),
        ("endpoint_id", ["main"]),
        ("clinical_notes", 5),
        ("clinical_notes", 0),
        ("clinical_notes", False),
        ("clinical_notes", {}),
        ("clinical_notes", "x" * (16 * 1024 + 1)),
        ("uploader", "Maria"),
        ("uploader", []),
        ("uploader", False),
        ("uploader", {"name": 5}),
        ("study_metadata", None),
        ("study_metadata", []),
        ("study_metadata", "text"),
        ("study_metadata", {"patient_name": 5}),
        ("study_metadata", {"patient_name": None}),
        ("study_metadata", {"patient_name": "x" * 5000}),
        ("study_metadata", {"x" * 65: "y"}),
        ("study_metadata", {str(n): "y" for n in range(65)}),
    ],
)
def test_init_names_a_field_of_the_wrong_kind(name, value):
    error = refused(INIT.read, GOOD | {name: value})
    assert (error.code, error.extra["field"]) == ("invalid_field", name)


@pytest.mark.parametrize("priority", ["routine", "urgent", "stat"])
def test_priority_is_one_of_three(priority):
    assert INIT.read(GOOD | {"study_metadata": {"priority": priority}}).study_metadata["priority"] == priority
    error = refused(INIT.read, GOOD | {"study_metadata": {"priority": priority.upper()}})
    assert error.extra["field"] == "study_metadata.priority"


@pytest.mark.parametrize("name", ["endpoint_id", "clinical_notes", "uploader"])
def test_what_may_be_left_out_may_be_null(name):
    assert INIT.read(GOOD | {name: None}) == INIT.read(GOOD)


@pytest.mark.parametrize("body", [None, [], "text", 5, True])
@pytest.mark.parametrize("read", [INIT.read, COMPLETE.read, REASON.read, CREDENTIALS.read])
def test_a_body_must_be_an_object(read, body):
    assert refused(read, body, Malformed).code == "malformed_json"


def test_complete_may_say_nothing():
    assert COMPLETE.read({}) == COMPLETE.read({"checksums": None, "skipped": None})


def test_complete_reads_checksums_and_what_was_skipped():
    wish = COMPLETE.read(
        {"checksums": {"a": f"sha-256=:{SHA256}:"}, "skipped": [{"file_id": "b", "reason": "DICOMDIR"}, {"reason": ""}]}
    )
    assert wish.checksums == {"a": {"sha256": hashlib.sha256(b"").digest()}}
    assert [(one.file_id, one.reason) for one in wish.skipped] == [("b", "DICOMDIR"), (None, "")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"skiped": []}, "skiped"),
        ({"skipped": [{"file": "a"}]}, "skipped.file"),
        ({"skipped": {}}, "skipped"),
        ({"skipped": "a"}, "skipped"),
        ({"skipped": ["a"]}, "skipped"),
        ({"skipped": [{"file_id": "a b", "reason": "r"}]}, "file_id"),
        ({"skipped": [{"file_id": "a"}]}, "skipped.reason"),
        ({"skipped": [{"reason": 5}]}, "skipped.reason"),
        ({"skipped": [{"reason": "x" * 257}]}, "skipped.reason"),
        ({"skipped": [{"file_id": "a", "reason": "r"}, {"file_id": "a", "reason": "r"}]}, "skipped"),
        ({"checksums": []}, "checksums"),
        ({"checksums": {"a": 5}}, "checksums"),
        ({"checksums": {"a": "md5=:AA==:"}}, "checksums"),
        ({"checksums": {"a b": "sha-256=::"}}, "file_id"),
    ],
)
def test_complete_names_what_it_cant_use(body, field):
    assert refused(COMPLETE.read, body).extra["field"] == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "endpoint_id"),
        ({"endpoint_id": None}, "endpoint_id"),
        ({"endpoint_id": "main", "expected": []}, "expected"),
        ({"endpoint_id": "main", "expected": {"patient_name": "x"}}, "expected.patient_name"),
        ({"endpoint_id": "main", "expected": {"patient_id": "   "}}, "expected.patient_id"),
        ({"endpoint_id": "main", "expected": {"patient_id": "P1\\X"}}, "expected.patient_id"),
        ({"endpoint_id": "main", "expected": {"accession_number": ""}}, "expected.accession_number"),
        ({"endpoint_id": "main", "expected": {"patient_birth_date": "   "}}, "expected.patient_birth_date"),
        ({"endpoint_id": "main", "expected": {"patient_birth_date": "unknown"}}, "expected.patient_birth_date"),
        ({"endpoint_id": "main", "expected": {"patient_birth_date": "1970"}}, "expected.patient_birth_date"),
        ({"endpoint_id": "main", "expected": {"patient_birth_date": "1970-02-30"}}, "expected.patient_birth_date"),
        ({"endpoint_id": "main", "expected": {"patient_birth_date": "19000101"}}, "expected.patient_birth_date"),
        ({"endpoint_id": "main", "expected": {"patient_birth_date": "00000000"}}, "expected.patient_birth_date"),
        ({"endpoint_id": "main", "label": False}, "label"),
        ({"endpoint_id": "main", "ttl_seconds": "60"}, "ttl_seconds"),
        ({"endpoint_id": "main", "max_files": 0}, "max_files"),
    ],
)
def test_a_qr_code_names_what_it_cant_use(body, field):
    assert refused(QR.read, body).extra["field"] == field


@pytest.mark.parametrize("good", ["a", "A-z_0", "x" * 64])
def test_a_file_id_is_made_of_letters_digits_and_two_signs(good):
    assert check_file_id(good) == good


@pytest.mark.parametrize("bad", [None, "", "x" * 65, "a b", "a/b", "..", "ä", "a\n", 5, "a.dcm", "\u0663"])
def test_any_other_file_id_is_refused(bad):
    assert refused(check_file_id, bad).extra["field"] == "file_id"


@pytest.mark.parametrize("bad", ["", "-1", "+1", "1_0", "x", "\u0663", "10000001", "9" * 30, " 1"])
def test_a_chunk_index_is_a_plain_number(bad):
    assert Digits(0, 10).read("chunk_index", "0") == 0
    with pytest.raises(Unprocessable):
        Digits(0, 10_000_000).read("chunk_index", bad)


def test_a_digest_is_read_by_its_algorithm():
    assert read_digest("Content-Digest", f"sha-256=:{SHA256}:") == {"sha256": hashlib.sha256(b"").digest()}
    assert set(read_digest("Content-Digest", f"sha-256=:{SHA256}:, sha-512=:{SHA256}:, md5=:AA==:")) == {
        "sha256",
        "sha512",
    }


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("md5=:AA==:", "checksum_algorithm_unknown"),
        ("crc32c=:AA==:", "checksum_algorithm_unknown"),
        ("sha-256=AA==", "malformed_header"),
        ("sha-256=:A:", "malformed_header"),
        ("", "malformed_header"),
        (5, "malformed_header"),
        ("sha256 AA==", "malformed_header"),
    ],
)
def test_a_digest_that_cant_be_read_or_computed_is_refused(value, code):
    with pytest.raises(Malformed) as caught:
        read_digest("Content-Digest", value)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("values", "wait_s"),
    [
        ([], None),
        (["wait=5"], 5),
        (["wait=0"], 0),
        (["wait=600"], 60),
        (['respond-async, wait="7"'], 7),
        (["respond-async", "wait=8"], 8),
        (["WAIT=9"], 9),
        (["wait=abc"], None),
        (["await=9"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=5s"], None),
        (["foo=bar;wait=6"], None),
        (['foo="a, wait=6"'], None),
        (['foo="a, wait=6", wait=7;x=y'], 7),
        (["wait = 5"], 5),
        (["wait=5, wait=9"], 5),
        (["return=minimal"], None),
    ],
)
def test_prefer_says_how_long_to_wait_within_bounds(values, wait_s):
    assert prefer_wait(values) == wait_s


def test_a_reason_must_say_something():
    assert REASON.read({"reason": " wrong patient "}) == "wrong patient"
    for body in ({}, {"reason": ""}, {"reason": "  "}, {"reason": None}):
        assert refused(REASON.read, body).code == "reason_required"


@pytest.mark.parametrize("body", [{}, {"username": "a"}, {"username": "a", "password": None}, {"username": 5}])
def test_credentials_are_two_texts(body):
    assert refused(CREDENTIALS.read, body).code == "missing_field"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["study_metadata", "total_files", "total_size_bytes", "endpoint_id", "clinical_notes", "uploader", "checksums",
     "skipped", "reason", "username", "password", "other"]
)  # fmt: skip


@given(body=st.one_of(JSON, st.dictionaries(NAMES, JSON, max_size=6)))
@pytest.mark.parametrize("read", [INIT.read, COMPLETE.read, REASON.read, CREDENTIALS.read])
def test_any_json_is_read_or_refused(read, body):
    with contextlib.suppress(Malformed, Unprocessable):
        read(body)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        *(("a@example.org", True), ("a.b+c@x", True), ("", False), ("a", False), ("a@b@c", False), ("a b@c", False)),
        *(("a@b\n", False), ("a@b,c@d", False), ("<a@b>", False), ("A <a@b>", False), ("ä@b", False), (" ", False)),
    ],
)
def test_a_mailbox_is_one_plain_address(text, good):
    assert is_mailbox(text) is good
    body = GOOD | {"uploader": {"email": text}}
    if good or not text:
        assert INIT.read(body).uploader == {"email": text}
    else:
        error = refused(INIT.read, body)
        assert (error.code, error.extra["field"]) == ("invalid_field", "uploader.email")
