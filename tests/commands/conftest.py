from __future__ import annotations

import time

import pytest

from tests.component.gateway_app import gateway_app


@pytest.fixture
async def gate(tmp_path):
    """A running gateway whose clock is the machine's: commands beside it have that one."""
    async with gateway_app(tmp_path, now=time.time(), sqlite=True) as gate:
        yield gate
