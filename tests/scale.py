"""How often: `make test` and `make soak` run the same tests with other counts."""

from __future__ import annotations

import os

SOAK = os.environ.get("SCALE") == "soak"


def count(test: int, soak: int) -> int:
    """How many times to do it."""
    return soak if SOAK else test
