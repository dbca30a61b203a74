"""Archives of many makes, each with each fault: what became of each instance, what is told, how often the bytes went out.

All archives are sent to at once, one fault after the other; `EXPECTED` says what is usual, `OTHERWISE` what this make
can't do, or tells itself.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.delivery.service import UPLOADS_AT_ONCE
from tests.dicom_samples import study
from tests.e2e import parrot
from tests.e2e.lab import Http, Lab, Pacs, running_lab, wait_until
from tests.e2e.series import sha256
from tests.e2e.test_pacs_matrix import receipt_of, seen
from tests.e2e.vendors import VENDORS, Vendor, as_if_new, by_another_route

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("vendors")]

COUNT = 3
NAMES = {name: name.lower().replace(" ", "_").replace("-", "_") for name in VENDORS}


@dataclass(frozen=True)
class Outcome:
    """Of an upload of three instances."""

    first: str = "stored"
    others: str = "stored"
    upload: str = "success"
    sent: int = COUNT  #: instances that left the gateway, each time
    warnings: dict[str, int] = field(default_factory=dict)
    verification: str = "queried"


#: No query is answered: nothing can be compared, and what may have arrived goes again.
BLIND = {"verification": "acknowledged"}
COERCED = {"first": "stored warning B000", "others": "stored warning B000"}

EXPECTED: dict[str, Outcome] = {
    "nothing": Outcome(),
    "first answer lost": Outcome(),
    "killed in mid-batch": Outcome(),
    "there by another route": Outcome("already_there", sent=COUNT - 1),
    "busy": Outcome(sent=COUNT + 1),
    "refused": Outcome("failed refused_by_pacs", upload="partial", warnings={"refused_by_pacs": 1}),
    "other PatientID": Outcome(warnings={"other_patient_in_pacs": COUNT}),
}


def expected(vendor: Vendor, fault: str) -> Outcome | None:
    """None: it is held."""
    usual = EXPECTED[fault]
    known = {name: getattr(usual, name) for name in Outcome.__dataclass_fields__}
    warnings = dict(usual.warnings)
    elsewhere = vendor.name in {"coerces", "files elsewhere"}
    if fault == "there by another route":
        if elsewhere:
            return None
        if vendor.name in {"dcm4chee", "rewrites group 2", "another syntax"}:
            warnings["file_meta_differs"] = 1
        if vendor.name == "XML":
            known |= {"first": "stored", "sent": COUNT}
    if fault == "refused":
        known["first"] += f" {vendor.refusal:04X}"
        known["sent"] += vendor.refusal == 0x0110  # says nothing: it is asked for, and sent once more
    if fault in {"first answer lost", "killed in mid-batch"} and vendor.name in {"late", "XML"}:
        known["sent"] = 2 * COUNT  # nobody could tell that it had arrived
    silent = vendor.name == "coerces" and fault not in {"first answer lost", "killed in mid-batch"}
    if vendor.name == "coerces" and silent:
        stored = COUNT - 1 if fault == "refused" else COUNT
        known |= {"others": COERCED["others"]} | ({} if fault == "refused" else {"first": COERCED["first"]})
        warnings["pacs_warning"] = stored
        warnings.pop("other_patient_in_pacs", None)
    elif elsewhere:
        warnings["other_patient_in_pacs"] = COUNT - (fault == "refused")
    if vendor.name == "XML":
        known |= BLIND
        warnings.pop("other_patient_in_pacs", None)
        warnings["identity_not_checked"] = 1
    return Outcome(**known | {"warnings": warnings})


def prepare(vendor: Vendor, fault: str, files: list[bytes]) -> None:
    match fault:
        case "first answer lost":
            vendor.script(parrot.half)
        case "killed in mid-batch":
            vendor.script(parrot.hang(30.0, stores=True))
        case "there by another route":
            by_another_route(vendor, files[:1])
        case "busy":
            vendor.script(_partly(vendor, vendor.busy))
        case "refused":
            vendor.script(*[_partly(vendor, vendor.refusal)] * (2 if vendor.refusal == 0x0110 else 1))
        case "other PatientID":
            vendor.shown_id = lambda text: f"LOCAL-{text}"


def _partly(vendor: Vendor, reason: int) -> Callable[[parrot.Exchange], None]:
    def act(exchange: parrot.Exchange) -> None:
        parts = exchange.parts()
        exchange.store(parts[1:])
        vendor.answers(exchange, parts[1:], [(parts[0], reason)])

    return act


@dataclass
class Scene:
    lab: Lab
    vendors: dict[str, Vendor]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        vendors = {name: stack.enter_context(make()) for name, make in VENDORS.items()}
        settings: dict[str, dict[str, Any]] = {"delivery": {"retry_base": "50ms"}, "endpoints.main": {"default": True}}
        for name, vendor in vendors.items():
            settings[f"endpoints.{NAMES[name]}"] = {"kind": "dicomweb", "url": vendor.url, "timeout": "5s"}
        folder = tmp_path_factory.mktemp("vendors")
        lab = stack.enter_context(running_lab(folder, Pacs("http://127.0.0.1:9/dicom-web"), settings=settings))
        yield Scene(lab, vendors)


@dataclass(frozen=True)
class Sent:
    upload_id: str
    client: Http
    files: list[bytes]


def submit(scene: Scene, client: Http, name: str, files: list[bytes]) -> Sent:
    upload_id, mine = scene.lab.open_upload(client, files, endpoint_id=NAMES[name])
    for number, data in enumerate(files):
        mine.create(len(data), {"file_id": f"f{number}"}, data).expect(201)
    mine.complete(upload_id, wait_s=0).expect(200, 202)
    return Sent(upload_id, mine, files)


@pytest.mark.parametrize("fault", EXPECTED)
def test_every_make_with_every_fault(scene: Scene, fault: str):
    for name, vendor in scene.vendors.items():
        as_if_new(vendor)
        vendor.shown_id = VENDORS[name]().shown_id
    client, sent = scene.lab.login(), dict[str, Sent]()
    names = list(scene.vendors)
    for group in (names[:UPLOADS_AT_ONCE], names[UPLOADS_AT_ONCE:]):  # a kill cuts off what is under way
        for name in group:
            files = study(COUNT, patient_id=f"P-{NAMES[name]}")
            prepare(scene.vendors[name], fault, files)
            sent[name] = submit(scene, client, name, files)
        if fault == "killed in mid-batch":
            cut_off(scene, [scene.vendors[name] for name in group])
    wrong = {}
    for name, vendor in scene.vendors.items():
        found, wanted = observed(scene, vendor, sent[name]), expected(vendor, fault)
        if found != wanted:
            wrong[name] = f"{found} instead of {wanted}"
    assert wrong == {}


def cut_off(scene: Scene, vendors: list[Vendor]) -> None:
    """End the gateway when all of these have everything and none has answered; start it again."""
    wait_until("everything is on its way", lambda: all(vendor.taken for vendor in vendors))
    assert [len(vendor.taken) for vendor in vendors] == [COUNT] * len(vendors), "nothing went twice before that"
    scene.lab.kill()
    scene.lab.start()


def observed(scene: Scene, vendor: Vendor, sent: Sent) -> Outcome | None:
    """What is seen over HTTP and in the archive; its receipt says the same."""

    def look() -> Any:
        status = sent.client.status(sent.upload_id)
        return status if status["state"] in {"success", "partial", "failed", "held"} else None

    status = wait_until("the upload's end", look, 60.0)
    if status["state"] == "held":
        assert not vendor.taken
        return None
    words = seen(sent.client, sent.upload_id)
    assert len(set(words[1:])) == 1
    receipt = receipt_of(scene.lab, sent.client, sent.upload_id)
    proofs = {one["sha256"]: one for one in receipt["instances"]}
    assert proofs.keys() == set(map(sha256, sent.files))
    for data, said in zip(sent.files, words, strict=True):
        proof, state = proofs[sha256(data)], said.split()
        assert proof["outcome"] == ("warning" if "warning" in state else state[0])
        assert proof.get("reason", "") in {"", state[-1]}
        assert proof["at"] and proof["series_instance_uid"]
    told = Counter(one["code"] for one in status["warnings"])
    assert receipt["coerced"] == max(told["pacs_warning"], told["other_patient_in_pacs"])
    in_pacs = sorted(sha256(one.content) for one in vendor.held.values())
    there = sorted(sha256(data) for data, said in zip(sent.files, words, strict=True) if not said.startswith("failed"))
    assert in_pacs == there, "what is called stored is there, once"
    return Outcome(words[0], words[1], status["state"], len(vendor.taken), dict(told), receipt["verification"])
