from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.errors import Malformed, UnsupportedMediaType
from gateway.protocol import ietf

NINE = ietf.VERSIONS[9]


def headers(**known: str) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in known.items()})


@pytest.mark.parametrize("number", ietf.VERSIONS)
def test_a_version_that_is_named_is_the_one_that_is_spoken(number):
    version = ietf.version_of(headers(Upload_Draft_Interop_Version=str(number)))
    assert version.number == number
    assert version.interim == (number in {6, 8, 9})


@pytest.mark.parametrize("given_", ["", "2", "10", "-9", "nine", "9.0", '"9"'])
def test_another_version_is_read_as_the_newest_and_hears_nothing_in_between(given_):
    version = ietf.version_of(headers(Upload_Draft_Interop_Version=given_))
    assert (version.interim, version.get, version.age) == (False, True, "max-age")


def test_the_oldest_version_says_incomplete():
    version = ietf.VERSIONS[3]
    assert ietf.read_creation(headers(Upload_Incomplete="?0"), version, 5).complete
    assert ietf.completeness(version, complete=True) == {"Upload-Incomplete": "?0"}
    with pytest.raises(Malformed):
        ietf.read_creation(headers(Upload_Complete="?1"), version, 5)


@pytest.mark.parametrize(
    ("known", "size", "length"),
    [
        ({"Upload_Complete": "?1"}, 5, 5),
        ({"Upload_Complete": "?1"}, None, None),
        ({"Upload_Complete": "?0"}, 5, None),
        ({"Upload_Complete": "?0", "Upload_Length": "9"}, 5, 9),
        ({"Upload_Complete": "?1", "Upload_Length": "5"}, 5, 5),
        ({"Upload_Complete": "?1", "Upload_Length": "five"}, 5, 5),
    ],
)
def test_the_length_is_told_or_follows_from_the_body(known, size, length):
    assert ietf.read_creation(headers(**known), NINE, size).length == length


def test_the_length_of_an_append_counts_from_its_offset():
    told = ietf.read_patch(headers(Upload_Complete="?1", Upload_Offset="7"), NINE, ietf.PARTIAL_MEDIA_TYPE, 5)
    assert told == ietf.UploadAppend(7, True, 12)
    known = headers(Upload_Complete="?1", Upload_Offset="7", Upload_Length="11")
    with pytest.raises(Malformed) as caught:
        ietf.read_patch(known, NINE, ietf.PARTIAL_MEDIA_TYPE, 5)
    assert caught.value.extra["type"].endswith("#inconsistent-upload-length")


@pytest.mark.parametrize(("number", "refused"), [(5, False), (6, True), (9, True)])
def test_the_media_type_of_an_append_counts_from_version_6_on(number, refused):
    known = headers(Upload_Complete="?0", Upload_Offset="0")
    if not refused:
        assert ietf.read_patch(known, ietf.VERSIONS[number], None, 5).at == 0
        return
    with pytest.raises(UnsupportedMediaType):
        ietf.read_patch(known, ietf.VERSIONS[number], None, 5)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('inline; filename="a b.dcm"', "a b.dcm"),
        ("inline; filename=a.dcm", "a.dcm"),
        (r'attachment; filename="a\"b.dcm"', 'a"b.dcm'),
        ("inline; filename=\"x\"; filename*=UTF-8''F%C3%BC%C3%9Fe", "Füße"),
        ("inline; filename*=utf-8'en'%00%ff", "\0\ufffd"),
        ("inline", None),
        ("inline; filename=" + "x" * 2000, None),
    ],
)
def test_the_name_of_a_disposition_is_what_tus_would_tell(disposition, name):
    raw = ietf.read_creation(headers(Upload_Complete="?0", Content_Disposition=disposition), NINE, 0).raw_metadata
    expected = None if name is None else "filename " + base64.b64encode(name.encode()).decode()
    assert raw == expected


def test_an_interim_response_is_one_whole_head():
    told = ietf.interim(ietf.VERSIONS[6], {"Location": "https://h/files/a"})
    assert told == (
        b"HTTP/1.1 104 Upload Resumption Supported\r\n"
        b"Upload-Draft-Interop-Version: 6\r\nLocation: https://h/files/a\r\n\r\n"
    )


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\r"])
def test_no_value_breaks_the_line_of_an_interim_response(value):
    with pytest.raises(Malformed):
        ietf.interim(NINE, {"Location": value})


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "Upload-Complete",
                "Upload-Offset",
                "Upload-Length",
                "Content-Disposition",
                "Upload-Draft-Interop-Version",
                "Upload-Incomplete",
            ]
        ),
        st.text(max_size=30),
    )
)
def test_any_text_is_read_or_refused(known):
    fields = CIMultiDict(known)
    version = ietf.version_of(fields)
    for read in (
        lambda: ietf.read_creation(fields, version, 5),
        lambda: ietf.read_patch(fields, version, ietf.PARTIAL_MEDIA_TYPE, 5),
    ):
        try:
            read()
        except Malformed:
            continue
