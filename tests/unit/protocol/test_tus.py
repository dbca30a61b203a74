from __future__ import annotations

import base64
import hashlib

import pytest
from multidict import CIMultiDict

from gateway.errors import Malformed, NotBuilt, UnsupportedMediaType, UnsupportedVersion
from gateway.protocol import tus

OCT = "application/offset+octet-stream"


def headers(**known: str) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in known.items()})


def test_only_version_1_0_0_is_spoken():
    tus.check_version(headers(Tus_Resumable="1.0.0"))
    for odd in ({}, {"Tus_Resumable": "0.2.2"}, {"Tus_Resumable": "1.0"}):
        with pytest.raises(UnsupportedVersion):
            tus.check_version(headers(**odd))


def test_a_creation_has_a_length_and_its_metadata_as_received():
    raw = "file_id " + base64.b64encode(b"abc").decode()
    wish = tus.read_creation(headers(Upload_Length="5", Upload_Metadata=raw), None)
    assert wish == tus.Creation(5, {"file_id": b"abc"}, raw, with_body=False)


def test_a_creation_may_bring_bytes():
    assert tus.read_creation(headers(Upload_Length="5"), OCT).with_body


@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/plain", "", "multipart/form-data"])
def test_bytes_of_another_type_are_refused(media_type):
    with pytest.raises(UnsupportedMediaType):
        tus.read_creation(headers(Upload_Length="5"), media_type)
    with pytest.raises(UnsupportedMediaType):
        tus.read_patch(headers(Upload_Offset="0"), media_type)


def test_a_creation_without_a_length_is_refused():
    with pytest.raises(Malformed):
        tus.read_creation(headers(), None)


@pytest.mark.parametrize("length", ["-1", "x", "1" * 30])
def test_a_length_that_is_no_number_is_refused(length):
    with pytest.raises(Malformed):
        tus.read_creation(headers(Upload_Length=length), None)


def test_a_length_and_its_deferral_exclude_each_other():
    with pytest.raises(Malformed):
        tus.read_creation(headers(Upload_Length="5", Upload_Defer_Length="1"), None)


def test_an_extension_that_isnt_announced_is_refused_by_name():
    with pytest.raises(NotBuilt) as caught:
        tus.read_patch(headers(Upload_Offset="0", Trailer="X, Upload-Checksum"), OCT)
    assert "Upload-Checksum" in caught.value.detail


def test_a_part_says_so_and_has_a_length_as_files_have():
    wish = tus.read_creation(headers(Upload_Length="5", Upload_Concat="partial"), OCT)
    assert (wish.part, wish.parts, wish.length, wish.with_body) == (True, None, 5, True)


def test_a_final_names_its_parts_in_order_and_is_echoed_as_it_came():
    wish = tus.read_creation(headers(Upload_Concat="final;/files/b  a /files/b", Upload_Metadata="name YQ=="), None)
    assert wish.parts == ("/files/b", "a", "/files/b")
    assert (wish.part, wish.length, wish.raw_concat) == (False, None, "final;/files/b  a /files/b")
    assert wish.metadata == {"name": b"a"}


@pytest.mark.parametrize(
    "value", ["", "final", "final;", "final; ", "Partial", "partial;/files/a", "final /files/a", "final;\xe9"]
)
def test_upload_concat_has_two_forms(value):
    with pytest.raises(Malformed):
        tus.read_creation(headers(Upload_Length="5", Upload_Concat=value), None)


@pytest.mark.parametrize("more", [{"Upload_Length": "5"}, {"Upload_Defer_Length": "1"}])
def test_a_final_tells_no_length(more):
    with pytest.raises(Malformed):
        tus.read_creation(headers(Upload_Concat="final;/files/a", **more), None)


def test_a_final_brings_no_bytes():
    with pytest.raises(Malformed):
        tus.read_creation(headers(Upload_Concat="final;/files/a"), OCT)


def test_a_length_may_be_told_later():
    assert tus.read_creation(headers(Upload_Defer_Length="1"), None).length is None


@pytest.mark.parametrize("value", ["0", "2", "true", "", "1 "])
def test_a_deferral_has_one_value(value):
    with pytest.raises(Malformed):
        tus.read_creation(headers(Upload_Defer_Length=value), None)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_a_checksum_names_its_algorithm_and_has_its_size(algorithm):
    digest = hashlib.new(algorithm, b"hello").digest()
    value = f"{algorithm} {base64.b64encode(digest).decode()}"
    assert tus.read_patch(headers(Upload_Offset="0", Upload_Checksum=value), OCT).digests == {algorithm: digest}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("rot13 aGVsbG8=", "checksum_algorithm_unknown"),
        ("SHA1 qvTGHdzF6KLavt4PO0gs2a6pQ00=", "checksum_algorithm_unknown"),
        ("", "checksum_algorithm_unknown"),
        ("sha1", "malformed_header"),
        ("sha1 ***", "malformed_header"),
        ("sha1 aGVsbG8=", "malformed_header"),
        ("sha1 é", "malformed_header"),
    ],
)
def test_a_checksum_that_cant_be_checked_is_refused(value, code):
    with pytest.raises(Malformed) as caught:
        tus.read_patch(headers(Upload_Offset="0", Upload_Checksum=value), OCT)
    assert caught.value.code == code


def test_a_patch_says_where_its_bytes_go():
    assert tus.read_patch(headers(Upload_Offset="70"), OCT) == tus.Patch(70, None)


def test_a_patch_without_an_offset_is_refused():
    with pytest.raises(Malformed):
        tus.read_patch(headers(), OCT)


def test_two_offsets_are_refused():
    with pytest.raises(Malformed):
        tus.read_patch(CIMultiDict([("Upload-Offset", "0"), ("Upload-Offset", "1")]), OCT)


def test_a_patch_of_a_part_may_say_so_again():
    assert tus.read_patch(headers(Upload_Offset="7", Upload_Concat="partial"), OCT).at == 7


def test_options_announce_what_there_is_and_no_more():
    told = tus.options_headers(1000)
    assert told["Tus-Version"] == "1.0.0"
    assert told["Tus-Max-Size"] == "1000"
    assert set(told["Tus-Extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "expiration",
        "checksum",
        "termination",
        "concatenation",
        "concatenation-unfinished",
    }


def test_a_whole_file_doesnt_expire():
    assert tus.offset_headers(5, None) == {"Upload-Offset": "5"}
    assert tus.offset_headers(5, 784111777)["Upload-Expires"] == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_head_tells_offset_length_and_metadata_and_is_never_cached():
    assert tus.head_headers(0, 5, "a YQ==", None) == {
        "Upload-Offset": "0",
        "Upload-Length": "5",
        "Upload-Metadata": "a YQ==",
        "Cache-Control": "no-store",
    }
    assert "Upload-Length" not in tus.head_headers(0, None, None, None)
