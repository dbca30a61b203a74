"""The scanner and the app read one set of headers: `pwa/tests/vectors.test.ts` is the other half."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hooks.checks.scanner import scan
from hooks.contract import Accept
from tests.dicom_samples import BytesSource
from tests.vectors import dicom_headers

VECTORS = Path(dicom_headers.__file__).with_suffix(".json")


@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text())["vectors"], ids=lambda one: one["name"])
def test_the_scanner_takes_what_the_vectors_say(vector: dict[str, Any]) -> None:
    verdict = scan(BytesSource(b"".join(bytes.fromhex(data) * times for data, times in vector["pieces"])))
    assert (verdict.code if not isinstance(verdict, Accept) else "accept") == vector["gateway"]
    if isinstance(verdict, Accept):
        facts = {name: value for name, value in vector["facts"].items() if name != "frames"}
        assert {name: getattr(verdict.facts, name) for name in facts} == facts


def test_the_vectors_are_what_their_maker_makes() -> None:
    assert VECTORS.read_text() == dicom_headers.document()
