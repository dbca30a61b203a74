from __future__ import annotations

import pytest

from tests.component.gateway_app import gateway_app


@pytest.fixture
async def gate(tmp_path):
    """A running gateway."""
    async with gateway_app(tmp_path) as gate:
        yield gate
