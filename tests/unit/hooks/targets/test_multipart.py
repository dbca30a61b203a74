"""The only part of a multipart answer, hashed as it passes."""

from __future__ import annotations

import hashlib
import random

import pytest

from hooks.targets.multipart import NotOnePart, only_part

TYPE = 'multipart/related; type="application/dicom"; boundary="XYZ"'
CONTENT = bytes(range(256)) * 40 + b"\r\n--XY" + b"\r\n\r\n" + b"\r\n--"
BODY = b"\r\n--XYZ\r\nContent-Type: application/dicom\r\n\r\n" + CONTENT + b"\r\n--XYZ--\r\n"


def digest(body, content_type=TYPE, sizes=lambda: 1000):
    def pieces():
        rest = body
        while rest:
            size = sizes()
            yield rest[:size]
            rest = rest[size:]

    return hashlib.sha256(b"".join(only_part(content_type, pieces()))).hexdigest()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
def test_the_part_is_found_in_pieces_of_any_size(size):
    assert digest(BODY, sizes=lambda: size) == hashlib.sha256(CONTENT).hexdigest()


def test_pieces_of_mixed_sizes_change_nothing():
    dice = random.Random(7)
    for _ in range(50):
        assert digest(BODY, sizes=lambda: dice.randint(1, 90)) == hashlib.sha256(CONTENT).hexdigest()


def test_the_first_delimiter_may_stand_at_the_very_beginning():
    assert digest(BODY[2:]) == hashlib.sha256(CONTENT).hexdigest()


def test_a_body_that_is_the_instance_itself_is_hashed_whole():
    assert digest(CONTENT, "application/dicom") == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (BODY, "text/html"),
        (BODY, "multipart/related"),
        (BODY, ""),
        (BODY[:-20], TYPE),
        (b"", TYPE),
        (b"no delimiter" * 5000, TYPE),
        (BODY.replace(b"--XYZ--", b"--XYZ\r\nContent-Type: application/dicom\r\n\r\nmore\r\n--XYZ--"), TYPE),
    ],
)
def test_what_is_not_one_whole_part_gives_no_digest(body, content_type):
    with pytest.raises(NotOnePart):
        digest(body, content_type)
