"""Every way in which a PACS can answer, through a running gateway: the right outcome for each instance, seen over HTTP.

What Orthanc does by itself is tried with Orthanc; what it won't do, a scripted PACS does. The rows are those of the
table in docs/delivery.md.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.dicom_samples import as_instance, instance, new_uid, study
from tests.e2e import parrot
from tests.e2e.lab import Http, Lab, Pacs, running_lab, wait_until
from tests.e2e.orthanc import PASSWORD, USER, Orthanc, running_orthanc, tiny_disk
from tests.e2e.parrot import Act, Exchange, Parrot, told
from tests.e2e.series import sha256
from tests.e2e.test_real_series import digests_in, new_instances

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("pacs_matrix")]

PAGE = (Path(__file__).parents[2] / "docs" / "delivery.md").read_text(encoding="utf-8")
#: Answers that stop an endpoint; 401 is a wrong password at Orthanc.
REFUSALS = (403, 404, 405, 415)
ADMIN = "chief"


# -- what a PACS may do that the parrot has no word for


def with_warning(reason: int) -> Act:
    """All are stored, the first with a WarningReason."""

    def act(exchange: Exchange) -> None:
        parts = exchange.parts()
        exchange.store(parts)
        answer = json.loads(told(parts))
        answer["00081199"]["Value"][0]["00081196"] = {"vr": "US", "Value": [reason]}
        exchange.answer(200, json.dumps(answer).encode())

    return act


def partly(status: int, reason: int) -> Act:
    """The first is refused by name, the others are stored."""

    def act(exchange: Exchange) -> None:
        parts = exchange.parts()
        exchange.store(parts[1:])
        exchange.answer(status, told(parts[1:], [(parts[0], reason)]))

    return act


def of_two_minds(exchange: Exchange) -> None:
    """The first is called stored and failed, and isn't stored."""
    parts = exchange.parts()
    exchange.store(parts[1:])
    exchange.answer(200, told(parts, [(parts[0], 0xC000)]))


def one_forgotten(exchange: Exchange) -> None:
    """400 without a media type, one named nowhere and not stored: Orthanc's way with a part that it can't read."""
    parts = exchange.parts()
    exchange.store(parts[1:])
    exchange.answer(400, told(parts[1:]), "")


def nothing_at_all(exchange: Exchange) -> None:
    """200 and an empty body."""
    exchange.read()
    exchange.answer(200)


# -- rows


Prepare = Callable[[Parrot, list[bytes]], None]


def late(pacs: Parrot, files: list[bytes]) -> None:
    pacs.index_delay_s = 2.0


def blind(pacs: Parrot, files: list[bytes]) -> None:
    pacs.queries = 403


def paged(pacs: Parrot, files: list[bytes]) -> None:
    pacs.page_limit = 3


def has_the_first(pacs: Parrot, files: list[bytes], *, shown_from: float = 0.0, content: bytes = b"") -> None:
    pacs.keep([replace(pacs.parsed(content or files[0]), shown_from=shown_from)])


def has_another_first(pacs: Parrot, files: list[bytes], *, shown_from: float = 0.0) -> None:
    """Another content under the first one's UIDs."""
    one = as_instance(files[0])
    uids = {name: getattr(one, name) for name in ("sop_instance_uid", "study_instance_uid", "series_instance_uid")}
    has_the_first(pacs, files, shown_from=shown_from, content=instance(**uids, pixel_data=b"\7" * 256))


def has_the_first_hidden(pacs: Parrot, files: list[bytes]) -> None:
    has_the_first(pacs, files, shown_from=float("inf"))


def has_another_first_hidden(pacs: Parrot, files: list[bytes]) -> None:
    has_another_first(pacs, files, shown_from=float("inf"))


def has_the_first_and_keeps_it(pacs: Parrot, files: list[bytes]) -> None:
    has_the_first(pacs, files)
    pacs.gives_bytes = False


@dataclass(frozen=True)
class Row:
    """What the PACS does, and what is seen of four instances in one batch, in their order."""

    acts: tuple[Act, ...] = ()
    first: str = "stored"
    others: str = "stored"
    upload: str = "success"
    verification: str = "queried"
    prepare: Prepare = lambda pacs, files: None  # nothing to prepare
    endpoint: str = "main"
    warnings: tuple[str, ...] = ()
    pixel_bytes: int = 1 << 15
    stows: int | None = None  #: how many requests it takes, where that matters


ROWS: dict[str, Row] = {
    "names and shows all": Row((parrot.store,)),
    "names nothing, stored nothing, with 200, once": Row((parrot.silent,)),
    "names nothing, stores nothing, with 200, for good": Row(
        (parrot.silent,) * 5, "failed not_acknowledged", "failed not_acknowledged", "failed", "none",
        warnings=("not_acknowledged",) * 4,
    ),
    "names nothing, stored all": Row((parrot.mute,)),
    "202, one refused by name: not understood": Row(
        (partly(202, 0xC000),), "failed refused_by_pacs C000", upload="partial", warnings=("refused_by_pacs",)
    ),
    "202, one refused by name: data set doesn't match": Row(
        (partly(202, 0xA900),), "failed refused_by_pacs A900", upload="partial", warnings=("refused_by_pacs",)
    ),
    "202, one refused by name: SOP class": Row(
        (partly(202, 0x0122),), "failed refused_by_pacs 0122", upload="partial", warnings=("refused_by_pacs",)
    ),
    "202, one refused by name: transfer syntax": Row(
        (partly(202, 0xC122),), "failed refused_by_pacs C122", upload="partial", warnings=("refused_by_pacs",)
    ),
    "202, one refused by name: not authorised": Row(
        (partly(202, 0x0124),), "failed refused_by_pacs 0124", upload="partial", warnings=("refused_by_pacs",)
    ),
    "409, one refused by name, the others stored": Row(
        (partly(409, 0x0110), partly(409, 0x0110)), "failed refused_by_pacs 0110", upload="partial",
        warnings=("refused_by_pacs",),
    ),
    "202, one refused by name: out of resources, once": Row((partly(202, 0xA700),)),
    "202, one refused by name as duplicate, the same bytes": Row(
        (partly(202, 0x0111),), "already_there", prepare=has_the_first_hidden
    ),
    "202, one refused by name as duplicate, other bytes": Row(
        (partly(202, 0x0111),), "failed uid_conflict", upload="partial", prepare=has_another_first_hidden,
        warnings=("uid_conflict",),
    ),
    "names one with a warning: coerced": Row(
        (with_warning(0xB000),), "stored warning B000", warnings=("pacs_warning",)
    ),
    "calls one stored and failed": Row((of_two_minds,)),
    "400, one named nowhere, once": Row((one_forgotten,)),
    "400, one named nowhere, alone too": Row(
        (one_forgotten, parrot.status(400)), "failed not_acknowledged", upload="partial",
        warnings=("not_acknowledged",),
    ),
    "413 for a batch": Row((parrot.status(413), parrot.status(413)), endpoint="narrow"),
    "413 for one alone": Row(
        (parrot.status(413),) * 3, "failed too_large_for_pacs", upload="partial", endpoint="narrower",
        warnings=("too_large_for_pacs",),
    ),
    "429 with Retry-After": Row((parrot.status(429, retry_after=1),)),
    "503 with Retry-After": Row((parrot.status(503, retry_after=1),)),
    "500": Row((parrot.status(500),)),
    "507": Row((parrot.status(507),)),
    "a page of HTML with 200": Row((parrot.html,)),
    "an empty body with 200": Row((nothing_at_all,)),
    "half an answer, all stored": Row((parrot.half,)),
    "hangs, nothing stored": Row((parrot.hang(30.0),)),
    "hangs, all stored": Row((parrot.hang(30.0, stores=True),)),
    "resets the connection in the middle of the body": Row((parrot.reset(60_000),)),
    "reads more slowly than its answer may take": Row((parrot.slow(4 << 20),), pixel_bytes=2 << 20, stows=1),
    "shows everything late": Row((parrot.store,), prepare=late),
    "never shows anything": Row(
        (parrot.store,), prepare=late, endpoint="impatient", verification="acknowledged",
        warnings=("not_yet_visible",) * 4,
    ),
    "refuses queries": Row(
        (parrot.store,), prepare=blind, verification="acknowledged", warnings=("identity_not_checked",)
    ),
    "shows a few on each page": Row((parrot.store,), prepare=paged),
    "has one already, the same bytes": Row(
        (parrot.store,), "already_there", prepare=has_the_first
    ),
    "has one already, other bytes": Row(
        (parrot.store,), "failed uid_conflict", upload="partial", prepare=has_another_first,
        warnings=("uid_conflict",)
    ),
    "has one already, and gives nothing back": Row(
        (parrot.store,), "already_there", prepare=has_the_first_and_keeps_it, warnings=("content_not_compared",)
    ),
}  # fmt: skip

#: Rows that have a test of their own below.
BY_ORTHANC = {
    "its disk is full, with 200": "test_a_full_disk_behind_status_200_fails_what_is_not_there_and_a_retry_brings_it",
    "is restarted in the middle of a batch": "test_a_restart_in_the_middle_of_a_batch_loses_and_doubles_nothing",
    "refuses the password (401)": "test_an_endpoint_that_refuses_us_keeps_all_and_gets_it_when_a_person_has_mended_it",
    "has the same instance": "test_the_same_study_again_is_there_already_and_nothing_is_sent",
    "has another content under the UID, and would say 200": "test_orthanc_keeps_another_content_and_the_uploader_sees_it",
}
SCRIPTED = {
    "403, 404, 405, 415": "test_an_endpoint_that_refuses_us_keeps_all_and_gets_it_when_a_person_has_mended_it",
    "doesn't answer for a while": "test_a_pacs_that_stays_away_is_one_event_and_gets_everything_in_the_end",
}


def test_the_page_has_these_rows_and_no_others():
    table = PAGE.split("## Tried")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (Orthanc|scripted) \|", table, re.MULTILINE)
    tried = dict.fromkeys([*ROWS, *SCRIPTED], "scripted") | dict.fromkeys(BY_ORTHANC, "Orthanc")
    assert dict(rows) == tried
    assert {*BY_ORTHANC.values(), *SCRIPTED.values()} <= globals().keys()


# -- the gateway, and all its endpoints


@dataclass
class Scene:
    """One gateway for all rows."""

    lab: Lab
    pacs: Parrot
    orthanc: Orthanc
    restarted: Orthanc
    full: Orthanc
    refusing: dict[int, Parrot]
    client: Http
    refused: dict[str, tuple[str, list[bytes]]] = field(default_factory=dict)

    def submit(self, files: list[bytes], endpoint: str = "main") -> tuple[str, Http]:
        """All of them whole and complete; not waited for."""
        upload_id, client = self.lab.open_upload(self.client, files, endpoint_id=endpoint)
        for number, data in enumerate(files):
            client.create(len(data), {"file_id": f"f{number}"}, data).expect(201)
        client.complete(upload_id, wait_s=0).expect(200, 202)
        return upload_id, client

    def events(self, name: str, endpoint: str) -> int:
        """How often the audit trail has it."""
        lines = (self.lab.data / "audit.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return sum(one["event"] == name and one.get("detail", {}).get("endpoint") == endpoint for one in found)

    def settle(self) -> None:
        """Return when nothing is purged any more."""
        sizes: list[int] = []

        def quiet() -> bool:
            sizes.append(len(self.lab.segments()))
            return len(sizes) > 30 and len(set(sizes[-30:])) == 1

        wait_until("nothing is purged any more", quiet)

    def becomes(self, endpoint: str, state: str) -> None:
        """Return when `readyz` says so."""
        wait_until(f"{endpoint} is {state}", lambda: self.endpoint_state(endpoint) == state)

    def is_told(self, name: str, endpoint: str, count: int) -> None:
        """Return when the audit trail has it so often; more often is too often."""
        wait_until(f"{name} is told", lambda: self.events(name, endpoint) >= count)
        assert self.events(name, endpoint) == count

    def endpoint_state(self, endpoint: str) -> str:
        return str(self.lab.http.call("GET", "/readyz").json["endpoints"][endpoint])


def seen(client: Http, upload_id: str) -> list[str]:
    """What `GET files` tells of each file, in the order in which they were sent."""
    files = client.call("GET", f"/upload/{upload_id}/files?limit=1000").expect(200).json["files"]
    told = {int(one["file_id"].removeprefix("f")): one for one in files}
    return [_words(told[number]) for number in sorted(told)]


def _words(file: dict[str, Any]) -> str:
    outcome = "" if file.get("outcome") in (None, file["state"]) else file["outcome"]
    return " ".join(filter(None, (file["state"], outcome, file.get("code"), file.get("reason"))))


def receipt_of(lab: Lab, client: Http, upload_id: str) -> dict[str, Any]:
    """The receipt, its signature checked as anybody can."""
    token = client.call("GET", f"/upload/{upload_id}/receipt").expect(200).body.decode()
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(lab.http.call("GET", "/.well-known/jwks.json").json).keys}
    key = keys[jwt.get_unverified_header(token)["kid"]]
    payload: dict[str, Any] = json.loads(jwt.PyJWS(algorithms=["EdDSA"]).decode(token, key, algorithms=["EdDSA"]))
    return payload


def held_bytes(pacs: Parrot) -> list[str]:
    return sorted(sha256(one.content) for one in pacs.held.values())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, orthanc_of_session: Orthanc) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("matrix")
    with contextlib.ExitStack() as stack:
        pacs = stack.enter_context(Parrot())
        refusing = {status: stack.enter_context(Parrot()) for status in REFUSALS}
        for status, one in refusing.items():
            one.script(*[parrot.status(status)] * 100)  # until it is mended
        (folder / "restarted").mkdir()
        restarted = stack.enter_context(running_orthanc(folder / "restarted"))
        stack.enter_context(tiny_disk(folder / "full" / "db" / "files", "6m"))
        full = stack.enter_context(running_orthanc(folder / "full", storage=folder / "full" / "db" / "files"))
        good = {"kind": "basic", "username": USER, "password": PASSWORD}
        endpoints: dict[str, tuple[str, dict[str, Any]]] = {
            "impatient": (pacs.url, {"verify_for": "1s", "timeout": "1s"}),
            "narrow": (pacs.url, {}),  # 413 makes the batches of an endpoint small for good
            "narrower": (pacs.url, {}),
            "orthanc": (orthanc_of_session.dicomweb_url, {"auth": good}),
            "restarted": (restarted.dicomweb_url, {"auth": good}),
            "full": (full.dicomweb_url, {"auth": good}),
            "refuses_401": (orthanc_of_session.dicomweb_url, {"auth": good | {"password": "wrong"}}),
            **{f"refuses_{status}": (one.url, {}) for status, one in refusing.items()},
        }
        settings: dict[str, dict[str, Any]] = {
            "endpoints.main": {"default": True, "timeout": "1s"},
            "delivery": {"retry_base": "50ms"},
        }
        for name, (url, more) in endpoints.items():
            auth = more.pop("auth", None)
            settings[f"endpoints.{name}"] = {"kind": "dicomweb", "url": url, **more}
            if auth:
                settings[f"endpoints.{name}.auth"] = auth
        lab = stack.enter_context(running_lab(folder / "gateway", Pacs(pacs.url), settings=settings))
        lab.add_user(ADMIN, "admin")
        it = Scene(lab, pacs, orthanc_of_session, restarted, full, refusing, lab.login())
        for status in (401, *REFUSALS):
            files = study(3)
            upload_id, _ = it.submit(files, f"refuses_{status}")
            it.refused[f"refuses_{status}"] = upload_id, files
        yield it


@pytest.fixture
def pacs(scene: Scene) -> Iterator[Parrot]:
    """The scripted one, as if new."""
    yield scene.pacs
    with scene.pacs.lock:
        scene.pacs.acts.clear()
        scene.pacs.held.clear()
    scene.pacs.requests.clear()
    scene.pacs.index_delay_s, scene.pacs.queries, scene.pacs.page_limit = 0.0, 0, 10_000
    scene.pacs.gives_bytes = True


# -- the rows


@pytest.mark.parametrize("name", ROWS)
def test_each_instance_gets_the_outcome_that_is_true(scene: Scene, pacs: Parrot, name: str):
    row = ROWS[name]
    files = study(4, pixel_bytes=row.pixel_bytes)
    row.prepare(pacs, files)
    before = held_bytes(pacs)
    pacs.script(*row.acts)
    upload_id, client = scene.submit(files, row.endpoint)
    status = client.outcome(upload_id)

    assert seen(client, upload_id) == [row.first, *[row.others] * 3]
    assert status["state"] == row.upload
    assert sorted(one["code"] for one in status["warnings"]) == sorted(row.warnings)
    assert not pacs.acts, "the script was not played to its end"
    assert row.stows in {None, pacs.stows}

    in_pacs = [
        digest for digest, words in zip(map(sha256, files), seen(client, upload_id), strict=True) if _is_in(words)
    ]
    assert Counter(held_bytes(pacs)) == Counter({*before, *in_pacs}), "what is called stored is there, and nothing else"
    receipt = receipt_of(scene.lab, client, upload_id)
    assert receipt["pacs_receipt_id"] == status["pacs_receipt_id"]
    assert receipt["verification"] == row.verification
    proofs = {one["sha256"]: one["outcome"] for one in receipt["instances"]}
    assert sorted(digest for digest, outcome in proofs.items() if outcome != "failed") == sorted(in_pacs)
    assert len(proofs) == len(files)


def _is_in(words: str) -> bool:
    return words.split(maxsplit=1)[0] in {"stored", "already_there"}


def test_no_upload_is_a_success_before_the_pacs_shows_it(scene: Scene, pacs: Parrot):
    pacs.index_delay_s = float("inf")
    files = study(5)
    upload_id, client = scene.submit(files)
    wait_until("all are stored, and looked for", lambda: len(pacs.held) == len(files))
    sent = len(pacs.requests)
    wait_until("it was looked for three times more", lambda: len(pacs.requests) >= sent + 3)
    assert client.status(upload_id)["state"] == "delivering"
    assert seen(client, upload_id) == ["sending"] * len(files)
    for uid, one in pacs.held.items():
        pacs.held[uid] = replace(one, shown_from=0.0)
    assert client.outcome(upload_id)["state"] == "success"
    assert pacs.stows == 1


@pytest.mark.parametrize("status", [429, 503])
def test_the_patience_that_is_asked_for_is_granted(scene: Scene, pacs: Parrot, status: int):
    asked: list[float] = []

    def noting(act: Act) -> Act:
        def noted(exchange: Exchange) -> None:
            asked.append(time.monotonic())
            act(exchange)

        return noted

    pacs.script(noting(parrot.status(status, retry_after=2)), noting(parrot.store))
    upload_id, client = scene.submit(study(2))
    assert client.outcome(upload_id)["state"] == "success"
    assert asked[1] - asked[0] >= 2.0


@pytest.mark.parametrize("queries", [503, 0], ids=["answers nothing", "answers queries only"])
def test_a_pacs_that_stays_away_is_one_event_and_gets_everything_in_the_end(scene: Scene, pacs: Parrot, queries: int):
    downs, ups = (scene.events(name, "main") for name in ("endpoint.down", "endpoint.up"))
    pacs.queries = queries
    pacs.script(*[parrot.status(503), parrot.reset(10), parrot.html] * (0 if queries else 2))
    files = [study(3) for _ in range(3)]
    uploads = [scene.submit(some) for some in files]
    scene.becomes("main", "down")
    assert {client.status(upload_id)["state"] for upload_id, client in uploads} == {"delivering"}
    pacs.queries = 0
    for upload_id, client in uploads:
        assert client.outcome(upload_id)["state"] == "success"
    assert held_bytes(pacs) == sorted(sha256(one) for some in files for one in some)
    scene.is_told("endpoint.down", "main", downs + 1)
    scene.is_told("endpoint.up", "main", ups + 1)
    assert scene.endpoint_state("main") == "up"


def test_a_pacs_that_breaks_off_again_and_again_gets_every_instance_once(scene: Scene, pacs: Parrot):
    files = study(30, pixel_bytes=8192)
    pacs.script(*[parrot.reset(20_000), parrot.half, parrot.store] * 6)
    upload_id, client = scene.submit(files)
    assert client.outcome(upload_id)["state"] == "success"
    assert held_bytes(pacs) == sorted(map(sha256, files))


# -- by Orthanc


def test_a_full_disk_behind_status_200_fails_what_is_not_there_and_a_retry_brings_it(scene: Scene):
    files = study(12, pixel_bytes=1 << 20)
    scene.settle()
    kept = len(scene.lab.segments())
    upload_id, client = scene.submit(files, "full")
    status = client.outcome(upload_id)
    assert status["state"] == "partial"
    words = seen(client, upload_id)
    # Orthanc says nothing of those that it has no room for; newer versions name them as failed.
    assert set(words) in ({"stored", "failed not_acknowledged"}, {"stored", "failed refused_by_pacs 0110"})
    stored = sorted(sha256(data) for data, said in zip(files, words, strict=True) if said == "stored")
    assert digests_in(scene.full) == stored
    wait_until("what is stored is purged", lambda: len(scene.lab.segments()) <= kept + status["files"]["failed"])
    subprocess.run(["mount", "-o", "remount,size=64m", str(scene.full.storage)], check=True)
    admin = scene.lab.login(ADMIN)
    admin.call("POST", f"/admin/uploads/{upload_id}/retry", {"reason": "the disk has room again"}).expect(204)
    assert client.outcome(upload_id)["state"] == "success"
    assert set(seen(client, upload_id)) == {"stored"}
    assert digests_in(scene.full) == sorted(map(sha256, files))


def test_a_restart_in_the_middle_of_a_batch_loses_and_doubles_nothing(scene: Scene):
    files = study(60, pixel_bytes=100_000)
    upload_id, client = scene.submit(files, "restarted")
    wait_until("an instance is there", lambda: scene.restarted.json("/statistics")["CountInstances"] > 0)
    scene.restarted.stop()
    scene.restarted.start()
    assert client.outcome(upload_id)["state"] == "success"
    assert set(seen(client, upload_id)) == {"stored"}
    assert digests_in(scene.restarted) == sorted(map(sha256, files))


def test_the_same_study_again_is_there_already_and_nothing_is_sent(scene: Scene, orthanc: Orthanc):
    files = study(5)
    orthanc.request("POST", "/instances", files[0])  # by somebody else
    first, client = scene.submit(files, "orthanc")
    assert client.outcome(first)["state"] == "success"
    assert seen(client, first) == ["already_there", *["stored"] * 4]
    before = new_instances(orthanc)
    again, client = scene.submit(files, "orthanc")
    assert client.outcome(again)["state"] == "success"
    assert seen(client, again) == ["already_there"] * 5
    assert new_instances(orthanc) == before
    assert digests_in(orthanc) == sorted(map(sha256, files))


def test_orthanc_keeps_another_content_and_the_uploader_sees_it(scene: Scene, orthanc: Orthanc):
    uids: dict[str, Any] = {"study_instance_uid": new_uid(), "series_instance_uid": new_uid()}
    known = new_uid()
    old, new = (instance(**uids, sop_instance_uid=known, pixel_data=pixel * 256) for pixel in (b"\1", b"\2"))
    files = [new, *study(3, **uids)]
    orthanc.request("POST", "/instances", old)
    upload_id, client = scene.submit(files, "orthanc")
    assert client.outcome(upload_id)["state"] == "partial"
    assert seen(client, upload_id) == ["failed uid_conflict", *["stored"] * 3]
    assert digests_in(orthanc) == sorted(map(sha256, [old, *files[1:]]))


# -- last, for the gateway is restarted


def test_an_endpoint_that_refuses_us_keeps_all_and_gets_it_when_a_person_has_mended_it(scene: Scene, orthanc: Orthanc):
    for endpoint, (upload_id, files) in scene.refused.items():
        scene.becomes(endpoint, "misconfigured")
        assert scene.client.status(upload_id)["state"] == "delivering"
        assert scene.client.status(upload_id)["files"] == {"sending": len(files)} or endpoint == "refuses_401"
        scene.is_told("endpoint.misconfigured", endpoint, 1)
    assert all(one.stows < 5 for one in scene.refusing.values()), "once a minute is enough"
    assert not any(one.held for one in scene.refusing.values())
    assert not orthanc.instances()

    scene.lab.stop()
    config = scene.lab.config.read_text()
    assert config.count('"wrong"') == 1
    for one in scene.refusing.values():
        one.acts.clear()
    scene.lab.config.write_text(config.replace('"wrong"', f'"{PASSWORD}"'))
    scene.lab.start()
    for endpoint, (upload_id, files) in scene.refused.items():
        assert scene.client.outcome(upload_id)["state"] == "success", endpoint
        assert receipt_of(scene.lab, scene.client, upload_id)["endpoint_id"] == endpoint
        assert len(seen(scene.client, upload_id)) == len(files)
    for status, one in scene.refusing.items():
        assert held_bytes(one) == sorted(map(sha256, scene.refused[f"refuses_{status}"][1]))
    assert digests_in(orthanc) == sorted(map(sha256, scene.refused["refuses_401"][1]))
