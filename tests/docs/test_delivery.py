"""docs/delivery.md lists every warning that delivery gives, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.delivery.receipt import MESSAGES

PAGE = (Path(__file__).parents[2] / "docs" / "delivery.md").read_text(encoding="utf-8")


def test_every_warning_is_on_its_page():
    warnings = PAGE.split("## Warnings")[1].split("## Audit events")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", warnings, re.MULTILINE)) == MESSAGES.keys()
