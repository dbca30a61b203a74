"""Storage commitment over DICOMweb, through a running gateway: what becomes of an upload, and what its receipt says.

The archive is scripted: no archive that can be had here has the service, Orthanc neither.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.dicom_samples import as_instance, study
from tests.e2e.lab import Http, Lab, Pacs, running_lab, wait_until
from tests.e2e.parrot import Exchange, Parrot
from tests.e2e.test_folder_endpoint import receipt_of
from tests.e2e.test_outage import upload

pytestmark = pytest.mark.root


@dataclass
class Asked:
    """One request about a transaction, for a behaviour to deal with.

    :ivar posts: requests to commit to these instances so far, with this one; `gets`: to say what became of this one.
    """

    exchange: Exchange
    method: str
    instances: Mapping[str, str]
    posts: int
    gets: int

    def commit(self, failed: Mapping[str, int] | None = None, transaction_uid: str = "") -> None:
        """A Storage Commitment Response Module (PS3.18 section J.2)."""
        failed = failed or {}
        kept = [self._item(uid) for uid in self.instances if uid not in failed]
        refused = [
            self._item(uid) | {"00081197": {"vr": "US", "Value": [reason]}}
            for uid, reason in failed.items()
            if uid in self.instances
        ]
        said = {"00081199": kept, "00081198": refused}
        answer: dict[str, Any] = {tag: {"vr": "SQ", "Value": items} for tag, items in said.items() if items}
        if transaction_uid:
            answer["00081195"] = {"vr": "UI", "Value": [transaction_uid]}
        self.exchange.answer(200, json.dumps(answer).encode())

    def _item(self, uid: str) -> dict[str, Any]:
        return {"00081150": {"vr": "UI", "Value": [self.instances[uid]]}, "00081155": {"vr": "UI", "Value": [uid]}}

    def work(self, **headers: str) -> None:
        """202: it isn't done yet."""
        self.exchange.answer(202, b"", "text/plain", **headers)


Behaviour = Callable[[Asked], None]


def at_once(asked: Asked) -> None:
    asked.commit()


def later(asked: Asked) -> None:
    if asked.gets < 2:
        asked.work(Retry_After="1")
    else:
        asked.commit()


def never(asked: Asked) -> None:
    asked.work()


def a_page(asked: Asked) -> None:
    asked.exchange.answer(200, b"<html>Welcome</html>", "text/html")


def of_another(asked: Asked) -> None:
    asked.commit(transaction_uid="2.25.7")


def hangs(asked: Asked) -> None:
    asked.exchange.pacs.closing.wait(60.0)
    asked.exchange.hang_up()


def busy(status: int) -> Behaviour:
    """At first."""

    def behave(asked: Asked) -> None:
        if asked.posts == 1:
            asked.exchange.answer(status, b"", "text/plain")
        else:
            asked.commit()

    return behave


def forgets(asked: Asked) -> None:
    """The first request."""
    if asked.posts > 1:
        asked.commit()
    elif asked.method == "POST":
        asked.work()
    else:
        asked.exchange.answer(404, b"", "text/plain")


def without(status: int) -> Behaviour:
    """It has no such service, and says so by this status."""

    def behave(asked: Asked) -> None:
        asked.exchange.answer(status, b"", "text/plain")

    return behave


@dataclass
class Archive(Parrot):
    """One that commits, as it is told for an instance.

    :ivar behaviours: SOPInstanceUID -> how it deals with requests that ask for it; others it commits to at once.
    :ivar transactions: UID -> the instances that it was asked for, in order.
    """

    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    transactions: dict[str, dict[str, str]] = field(default_factory=dict)
    gets: dict[str, int] = field(default_factory=dict)

    def commit(self, exchange: Exchange, method: str, transaction_uid: str) -> None:
        body = exchange.read()
        with self.lock:
            if method == "POST":
                items = json.loads(body)["00081199"]["Value"]
                self.transactions[transaction_uid] = {
                    item["00081155"]["Value"][0]: item["00081150"]["Value"][0] for item in items
                }
            else:
                self.gets[transaction_uid] = self.gets.get(transaction_uid, 0) + 1
            instances = self.transactions.get(transaction_uid, {})
            posts = len(self.asked_for(next(iter(instances), "")))
        behaviour = next((self.behaviours[uid] for uid in instances if uid in self.behaviours), at_once)
        behaviour(Asked(exchange, method, instances, posts, self.gets.get(transaction_uid, 0)))

    def asked_for(self, uid: str) -> list[str]:
        """The transactions that were about an instance."""
        return [transaction for transaction, instances in self.transactions.items() if uid in instances]


@dataclass
class Scene:
    """A gateway and its archive, for all tests; each has instances of its own."""

    lab: Lab
    archive: Archive

    def submit(self, behaviour: Behaviour, count: int = 2) -> tuple[str, Http, list[str]]:
        """An upload, complete, that the archive treats so; its id, a client, the instances' UIDs."""
        files = study(count)
        uids = [as_instance(data).sop_instance_uid for data in files]
        self.archive.behaviours.update(dict.fromkeys(uids, behaviour))
        upload_id, client = upload(self.lab, files)
        client.complete(upload_id, wait_s=0)
        return upload_id, client, uids

    def codes(self, status: Any) -> set[str]:
        return {one["code"] for one in status["warnings"]}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    endpoint = {"commitment": True, "identity": "as-is", "verify_for": "4s", "timeout": "1s"}
    folder = tmp_path_factory.mktemp("committing")
    with (
        Archive() as archive,
        running_lab(folder / "gateway", Pacs(archive.url), settings={"endpoints.main": endpoint}) as lab,
    ):
        yield Scene(lab, archive)


@pytest.mark.parametrize(
    ("behaviour", "requests"),
    [(at_once, 1), (later, 1), (busy(409), 2), (busy(503), 2), (forgets, 2)],
    ids=["at once", "later", "another transaction has the UID", "busy at first", "forgets the first request"],
)
def test_an_archive_that_commits_makes_the_receipt_committed(scene: Scene, behaviour: Behaviour, requests: int) -> None:
    upload_id, client, uids = scene.submit(behaviour)
    status = client.outcome(upload_id)
    assert (status["state"], status["warnings"]) == ("success", [])
    receipt = receipt_of(scene.lab, client, upload_id)
    assert receipt["verification"] == "committed"
    assert all(one["at"] for one in receipt["instances"])
    asked = scene.archive.asked_for(uids[0])
    assert len(asked) == requests, "each request has a transaction of its own"
    assert set(scene.archive.transactions[asked[-1]]) == set(uids)
    assert all(one.startswith("2.25.") for one in asked)


def test_what_the_archive_does_not_commit_to_has_failed_and_its_bytes_are_kept(scene: Scene) -> None:
    bad = list[str]()
    upload_id, client, uids = scene.submit(lambda asked: asked.commit(dict.fromkeys(bad, 0x0110)), 3)
    bad.append(uids[1])
    status = client.outcome(upload_id)
    assert status["state"] == "partial"
    assert [(one["code"], one["reason"]) for one in status["warnings"]] == [("not_committed", "0110")]
    receipt = receipt_of(scene.lab, client, upload_id)
    outcomes = {one["sop_instance_uid"]: one["outcome"] for one in receipt["instances"]}
    assert outcomes == dict.fromkeys(uids, "stored") | {uids[1]: "failed"}
    assert receipt["verification"] == "committed"
    assert len(scene.lab.segments()) > 0


def test_without_an_answer_in_time_an_upload_ends_with_a_warning_and_others_go_on_meanwhile(scene: Scene) -> None:
    """Each for as long as the archive may take (`verify_for`)."""
    waiting = [scene.submit(behaviour) for behaviour in (never, a_page, of_another, hangs)]
    other, client, _ = scene.submit(at_once)
    assert client.outcome(other)["state"] == "success"
    for upload_id, client, uids in waiting:
        status = client.outcome(upload_id)
        assert (status["state"], scene.codes(status)) == ("success", {"not_committed"})
        receipt = receipt_of(scene.lab, client, upload_id)
        assert receipt["verification"] == "queried"
        assert {tuple(one["warnings"]) for one in receipt["instances"]} == {("not_committed",)}
        assert len(scene.archive.asked_for(uids[0])) == 1
    assert '"endpoint.down"' not in (scene.lab.data / "audit.jsonl").read_text()


@pytest.mark.parametrize("status", [404, 501])
def test_an_archive_without_the_service_stores_all_the_same_and_the_log_says_which_key(
    scene: Scene, status: int
) -> None:
    upload_id, client, _ = scene.submit(without(status))
    told = client.outcome(upload_id)
    assert (told["state"], scene.codes(told)) == ("success", {"not_committed"})
    assert receipt_of(scene.lab, client, upload_id)["verification"] == "queried"
    wanted = f"commitment_refused endpoint=main code=http_{status}: set endpoints.main.commitment = false"
    assert wanted in scene.lab.log_text()


def test_a_gateway_that_is_killed_while_it_waits_asks_again(scene: Scene) -> None:
    answers = threading.Event()

    def behaviour(asked: Asked) -> None:
        if answers.is_set():
            asked.commit()
        else:
            asked.work()

    upload_id, client, uids = scene.submit(behaviour)
    wait_until("it was asked", lambda: scene.archive.asked_for(uids[0]))
    scene.lab.kill()
    answers.set()
    scene.lab.start()
    assert client.outcome(upload_id)["state"] == "success"
    assert receipt_of(scene.lab, client, upload_id)["verification"] == "committed"
    assert len(scene.archive.asked_for(uids[0])) == 2
    assert len(set(scene.archive.taken)) == len(scene.archive.taken), "nothing was sent twice"


def test_check_asks_whether_an_archive_commits(scene: Scene) -> None:
    done = scene.lab.command("check")
    assert done.returncode == 0, done.stdout
    assert "and takes requests for storage commitment" in done.stdout
    with Parrot() as other:
        env = {"RELAYPACS__ENDPOINTS__MAIN__URL": other.url}
        done = scene.lab.command("check", env=env)
        assert done.returncode == 1
        assert "http_404: it has no storage commitment (PS3.18 chapter 13" in done.stdout
        assert "set endpoints.main.commitment = false" in done.stdout
