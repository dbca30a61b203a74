from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.errors import Malformed, TooLarge
from gateway.protocol.headers import http_date, number, optional_number, parse_metadata, preferred, single, text_of

KEY_SIGNS = [chr(code) for code in range(0x21, 0x7F) if chr(code) != ","]


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def test_a_field_that_is_given_twice_is_refused():
    headers = CIMultiDict([("Upload-Offset", "1"), ("upload-offset", "1")])
    with pytest.raises(Malformed):
        single(headers, "Upload-Offset")
    assert single(headers, "Upload-Length") is None


@pytest.mark.parametrize("value", ["0", "7", "007", "9" * 18])
def test_digits_are_a_number(value):
    assert number("Upload-Offset", value) == int(value)


@pytest.mark.parametrize(
    "value", ["", "-1", "+5", "1_0", " 1", "1 ", "1.0", "0x1", "1e3", "\u0663", "\uff19", "9" * 19, "1\n"]
)
def test_whatever_else_int_would_take_is_no_number(value):
    with pytest.raises(Malformed) as caught:
        number("Upload-Offset", value)
    assert "Upload-Offset" in caught.value.detail
    assert not value.strip() or value not in caught.value.detail


def test_a_number_may_be_absent():
    assert optional_number(CIMultiDict(), "Upload-Offset") is None
    assert optional_number(CIMultiDict({"upload-offset": "5"}), "Upload-Offset") == 5


def test_metadata_is_a_list_of_keys_with_base64():
    value = f"filename {b64('a ü.dcm')},empty, bare ,filetype {b64('application/dicom')}"
    assert parse_metadata(value) == {
        "filename": "a ü.dcm".encode(),
        "empty": b"",
        "bare": b"",
        "filetype": b"application/dicom",
    }


@pytest.mark.parametrize("value", ["", " "])
def test_no_metadata_is_no_error(value):
    assert parse_metadata(value) == {}


@pytest.mark.parametrize(
    "value",
    [
        "a YQ==,a YQ==",
        ",",
        "a YQ==,",
        "a !!!!",
        "a YQ",
        "a YQ== YQ==",
        "ä YQ==",
        "a \x80",
        "a \u0661",
        "a\tYQ==",
        "a Y\nQ==",
    ],
)
def test_odd_metadata_is_refused(value):
    with pytest.raises(Malformed):
        parse_metadata(value)


def test_metadata_has_a_limit():
    assert parse_metadata(f"a {'A' * (8 * 1024 - 4)}")
    with pytest.raises(TooLarge) as caught:
        parse_metadata("a " + "A" * 8 * 1024)
    assert caught.value.code == "metadata_too_large"


def test_a_value_that_we_use_must_be_text():
    assert text_of({"file_id": b"abc"}, "file_id") == "abc"
    assert text_of({}, "file_id") is None
    with pytest.raises(Malformed):
        text_of({"file_id": b"\xff"}, "file_id")


@given(st.dictionaries(st.text(KEY_SIGNS, min_size=1, max_size=20), st.binary(max_size=50), max_size=8))
def test_whatever_a_client_encodes_is_read_back(pairs):
    assert parse_metadata(",".join(f"{key} {b64(value)}" for key, value in pairs.items())) == pairs


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(value):
    with contextlib.suppress(Malformed, TooLarge):
        parse_metadata(value)


def test_dates_are_those_of_http():
    assert http_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        ([], "application/json"),
        (["*/*"], "application/json"),
        (["text/html"], "application/json"),
        (["image/svg+xml"], "image/svg+xml"),
        (["IMAGE/PNG"], "image/png"),
        (["image/*"], "image/png"),
        (["application/json, image/png;q=0.1"], "application/json"),
        (["image/png;q=0, application/json"], "application/json"),
        (["image/png", "*/*;q=0.8"], "image/png"),
        (["image/png;q=high"], "application/json"),
    ],
)
def test_accept_picks_what_it_likes_best(accept, found):
    assert preferred(accept, ["application/json", "image/png", "image/svg+xml"]) == found
