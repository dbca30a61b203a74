"""An upload that a route sends to several endpoints, over HTTP and by the commands beside it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.commands.site import relaypacs, send
from tests.component.gateway_app import gateway_app
from tests.component.telling.receiver import listening
from tests.unit.delivery.little_pacs import toys

ROUTES = """
[endpoints.second]
url = "http://127.0.0.1:9/dicom-web"
[[routes]]
when = { account = "maria" }
to = ["main", "second"]
required = ["main"]
[[routes]]
when = { account = "carla" }
to = ["main", "second"]
"""


@pytest.fixture
async def gate(tmp_path):
    async with gateway_app(tmp_path, now=time.time(), sqlite=True, toml=ROUTES, others=["second"]) as gate:
        yield gate


def told(status: Any) -> dict[str, tuple[bool, str]]:
    return {one["endpoint_id"]: (one["required"], one["state"]) for one in status["deliveries"]}


async def test_status_completion_and_receipts_say_how_each_endpoint_fares(gate):
    gate.others["second"].down = True
    opened = await send(gate, await gate.person("carla"), *toys(2))
    await gate.deliver(for_s=5)
    status = await gate.status(opened)
    assert (status["state"], status["pacs_receipt_id"]) == ("delivering", None)
    assert told(status) == {"main": (True, "success"), "second": (True, "delivering")}
    path = f"/upload/{opened.upload_id}/receipt"
    assert (await gate.ask("GET", path, opened.token)).code == "no_receipt_yet"
    assert (await gate.ask("GET", f"{path}?endpoint_id=main", opened.token)).status == 200
    assert (await gate.ask("GET", f"{path}?endpoint_id=second", opened.token)).code == "no_receipt_yet"
    assert (await gate.ask("GET", f"{path}?endpoint_id=deaf", opened.token)).code == "not_found"

    gate.others["second"].down = False
    await gate.deliver(for_s=120)
    done = await gate.complete(opened)
    assert (done.status, done.json["status"]) == (200, "success")
    assert told(done.json) == {"main": (True, "success"), "second": (True, "success")}
    ids = {one["pacs_receipt_id"] for one in done.json["deliveries"]}
    assert len(ids) == 2
    assert done.json["pacs_receipt_id"] in ids
    receipts = [(await gate.ask("GET", f"{path}{query}", opened.token)).body for query in ("", "?endpoint_id=main")]
    assert receipts[0] == receipts[1]
    second = await gate.ask("GET", f"{path}?endpoint_id=second", opened.token)
    assert second.body not in receipts


async def test_bytes_are_purged_when_the_last_endpoint_has_them(gate):
    gate.others["second"].down = True
    opened = await send(gate, await gate.person(), *toys(2))
    await gate.deliver(for_s=5)
    assert (await gate.status(opened))["state"] == "success"
    await gate.purge()
    assert (await gate.upload(opened.upload_id)).erased_at is None
    gate.others["second"].down = False
    await gate.deliver(for_s=120)
    await gate.purge()
    assert (await gate.upload(opened.upload_id)).erased_at is not None
    assert len(gate.others["second"].held) == 2


async def test_commands_and_admins_see_each_delivery(gate):
    gate.others["second"].down = True
    opened = await send(gate, await gate.person(), *toys(2))
    await gate.deliver(for_s=5)
    (waiting,) = json.loads((await relaypacs(gate, "jobs", "list", "--json")).out)
    assert (waiting["upload_id"], waiting["endpoint_id"]) == (opened.upload_id, "second")
    assert waiting["why"][0].startswith("endpoint_")
    listed = (await relaypacs(gate, "uploads", "list")).out
    assert "main,second" in listed
    shown = json.loads((await relaypacs(gate, "uploads", "show", opened.upload_id, "--json")).out)
    assert [(one["endpoint_id"], one["state"]) for one in shown["deliveries"]] == [
        ("main", "success"),
        ("second", "delivering"),
    ]
    found = json.loads((await relaypacs(gate, "uploads", "find", "--endpoint", "second", "--json")).out)
    assert [one["upload_id"] for one in found] == [opened.upload_id]
    admin = await gate.person("root", "admin")
    queued = await gate.ask("GET", "/admin/endpoints", admin.token)
    assert {one["endpoint_id"]: one["queued_jobs"] for one in queued.json["endpoints"]}["second"] == 1
    assert (await gate.ask("GET", f"/admin/uploads/{opened.upload_id}", admin.token)).status == 200


async def test_an_account_is_led_nowhere_where_it_may_not_send(gate):
    opened = await send(gate, await gate.person("maria", endpoints=["main"]), *toys(1))
    await gate.deliver()
    status = await gate.status(opened)
    assert (status["state"], status["endpoint_id"]) == ("success", "main")
    assert "deliveries" not in status
    assert gate.others["second"].held == {}


async def test_a_webhook_hears_once_when_all_that_is_required_is_there_with_every_endpoint(tmp_path):
    async with listening() as heard, gateway_app(tmp_path, toml=ROUTES + heard.toml(), others=["second"]) as gate:
        gate.others["second"].down = True
        await send(gate, await gate.person("carla"), *toys(1))
        await gate.deliver(for_s=5)
        assert heard.came == []
        gate.others["second"].down = False
        await gate.deliver(for_s=120)
        ((_, message),) = heard.came
        assert message["type"] == "upload.success"
        assert [one["state"] for one in message["data"]["deliveries"]] == ["success", "success"]


async def test_metrics_count_each_delivery_and_the_oldest_that_waits(gate):
    gate.others["second"].down = True
    await send(gate, await gate.person(), *toys(2))
    await gate.deliver(for_s=5)
    admin = await gate.person("root", "admin")
    text = (await gate.ask("GET", "/metrics", admin.token)).body.decode()
    assert 'relaypacs_uploads_ended_total{endpoint="main",state="success"} 1.0' in text
    assert 'relaypacs_uploads_ended_total{endpoint="second",state="success"} 0.0' in text
    (age,) = [line for line in text.splitlines() if line.startswith('relaypacs_queue_age_seconds{endpoint="second"}')]
    assert float(age.split()[1]) >= 5
    assert 'relaypacs_queue_age_seconds{endpoint="main"} 0.0' in text
