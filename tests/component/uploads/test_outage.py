"""An hour without any PACS, and without anybody who takes a webhook's messages, by the clock of the test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from gateway.ledger.rows import URGENCY, JobKind
from tests import scale
from tests.commands.site import send
from tests.component.gateway_app import Gate, gateway_app
from tests.component.telling.receiver import listening
from tests.unit.delivery.little_pacs import LittlePacs, Toy

UPLOADS = scale.count(18, 200)
ENDPOINTS = ("main", "second", "third")
PRIORITIES = ("routine", "urgent", "stat")
#: Uploads under way at once when the archives are back. Among several, and with one that is told to wait while another
#: asks, the order is nobody's.
AT_ONCE = 1

TOML = """
[endpoints.second]
url = "http://127.0.0.1:9/dicom-web"
[endpoints.third]
url = "http://127.0.0.1:9/dicom-web"
"""


class Crowd:
    """How many ask one PACS at the same time."""

    def __init__(self, pacs: LittlePacs) -> None:
        self.inside = self.most = self.asked = 0
        self._answer: Callable[[str], None] = pacs._answer
        pacs._answer = self.answer  # type: ignore[method-assign] # it looks on

    def answer(self, question: str) -> None:
        self.inside += 1
        self.asked += 1
        self.most = max(self.most, self.inside)
        try:
            self._answer(question)
        finally:
            self.inside -= 1


def archives(gate: Gate) -> dict[str, LittlePacs]:
    return {"main": gate.pacs, **gate.others}


async def test_after_an_hours_outage_all_is_delivered_the_urgent_first_and_told_at_least_once(tmp_path):
    async with listening() as receiver:
        options = {"sqlite": True, "toml": TOML + receiver.toml(), "others": ["second", "third"]}
        async with gateway_app(tmp_path, **options) as gate:
            receiver.statuses = [503] * 100_000
            for pacs in archives(gate).values():
                pacs.down = True
            person = await gate.person()
            priority_of: dict[str, str] = {}
            opened = []
            for number in range(UPLOADS):
                uid, priority = f"1.9.{number}", PRIORITIES[number // len(ENDPOINTS) % len(PRIORITIES)]
                priority_of[uid] = priority
                wish = {"endpoint_id": ENDPOINTS[number % len(ENDPOINTS)], "study_metadata": {"priority": priority}}
                toy = Toy(uid, study=f"1.9.{number}.1", patient_id=f"P{number}")
                opened.append(await send(gate, person, toy, **wish))

            await gate.deliver(for_s=60)
            crowds = {name: Crowd(pacs) for name, pacs in archives(gate).items()}
            await gate.deliver(for_s=1800)
            await gate.power_cut()
            await gate.deliver(for_s=1740)
            for name, crowd in crowds.items():
                assert crowd.asked > 5, name
                assert crowd.most == 1, f"{name} was asked by several at once while it was down"
                assert crowd.asked < 120, f"{name} was asked {crowd.asked} times in an hour"
            assert {(await gate.upload(one.upload_id)).state for one in opened} == {"delivering"}

            gate.workers._concurrency[JobKind.DELIVER] = AT_ONCE
            for pacs in archives(gate).values():
                pacs.down = False
            await gate.deliver(for_s=900)
            assert {(await gate.upload(one.upload_id)).state for one in opened} == {"success"}
            for name, pacs in archives(gate).items():
                assert Counter(pacs.sent) == Counter(pacs.held.keys()), "each once"
                assert len(pacs.sent) == UPLOADS // len(ENDPOINTS) + (ENDPOINTS.index(name) < UPLOADS % len(ENDPOINTS))
                urgency = [URGENCY[priority_of[uid]] for uid in pacs.sent[1:]]  # the first one was the question
                assert urgency == sorted(urgency), name

            assert set(receiver.told) <= {"upload.success", "upload.delayed"}
            receiver.statuses.clear()
            receiver.came.clear()
            await gate.deliver(for_s=7200)
            told = Counter((body["type"], body["data"]["upload_id"]) for _, body in receiver.came)
            assert {one.upload_id for one in opened} == {about for event, about in told if event == "upload.success"}
            ids = dict(receiver.came)
            assert len(ids) == len(told), "a repeat bears the id of the first"
            assert await gate.count("jobs") == 0
