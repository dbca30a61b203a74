"""Texts by their character sets: the scanner, the command line and the app read one file alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.scan import find
from hooks.checks.charset import decode, decode_for_certain
from hooks.checks.scanner import scan
from hooks.contract import Accept
from tests.dicom_samples import instance

#: `value` is hex; `certain`: whether it may be declared as what the file says.
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "charset.json").read_text())


@pytest.mark.parametrize("one", VECTORS, ids=lambda one: one["name"])
def test_a_value_is_read_by_its_character_set(one: dict) -> None:
    value, charset = bytes.fromhex(one["value"]), one["charset"].encode()
    assert decode(value, charset) == one["text"]
    assert decode_for_certain(value, charset) == (one["text"] if one["certain"] else None)


@given(st.binary(max_size=64), st.binary(max_size=32))
def test_no_bytes_whatever_make_it_fail(value: bytes, charset: bytes) -> None:
    certain = decode_for_certain(value, charset)
    assert certain in (None, decode(value, charset))


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self.size_bytes = len(content)
        self._content = content

    def read_at(self, offset: int, size: int) -> bytes:
        return self._content[offset : offset + size]


def _explicit(vr: str, value: bytes) -> bytes:
    """VR, length and value as Explicit VR Little Endian has them (PS3.5 section 7.1.2)."""
    padded = value + b" " * (len(value) % 2)
    return vr.encode() + len(padded).to_bytes(2, "little") + padded


@pytest.mark.parametrize("one", VECTORS, ids=lambda one: one["name"])
def test_what_the_command_line_declares_is_what_the_gateway_finds_in_the_file(one: dict, tmp_path: Path) -> None:
    """Else the upload would be held for two patients who are one."""
    path = tmp_path / "1.dcm"
    content = instance(patient_id="PLACEHOLDER1", patient_name="PLACEHOLDER2")
    value = bytes.fromhex(one["value"])
    content = content.replace(b"LO\x0c\x00PLACEHOLDER1", _explicit("LO", value))
    content = content.replace(b"PN\x0c\x00PLACEHOLDER2", _explicit("PN", value))
    charset = b"\x08\x00\x05\x00" + _explicit("CS", one["charset"].encode())
    path.write_bytes(content.replace(b"\x08\x00\x16\x00UI", charset + b"\x08\x00\x16\x00UI"))
    verdict = scan(_Bytes(path.read_bytes()))
    (found,) = find([path]).found
    assert isinstance(verdict, Accept)
    for declared, told in (
        (found.metadata["patient_id"], verdict.facts.patient_id),
        (found.metadata["patient_name"], verdict.facts.patient_name),
    ):
        assert declared in ("", told)
    assert (found.metadata["patient_id"] != "") == (one["certain"] and one["text"] != "")
