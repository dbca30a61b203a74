"""/admin takes the query parameters that it knows and no others."""

from __future__ import annotations

import pytest

from tests.component.gateway_app import gateway_app


@pytest.mark.parametrize("path", ["/admin/uploads?stat=held", "/admin/endpoints?x=1", "/admin/audit?before=1"])
async def test_a_query_parameter_that_is_not_known_is_refused_and_not_ignored(tmp_path, path):
    async with gateway_app(tmp_path) as gate:
        root = await gate.person("root", "admin")
        refused = await gate.ask("GET", path, root.token)
        assert (refused.status, refused.code) == (422, "unknown_field")
        assert (await gate.ask("GET", path.partition("?")[0], root.token)).status == 200
