"""Storage commitment over DICOMweb (PS3.18 chapter 13): what each answer of an archive means.

The archive is scripted: no archive that can be had here, Orthanc among them, has the service.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping

import pytest

from hooks.contract import AskAnew, Commitment, CommitmentRefused, TargetDown
from hooks.targets.commitment_requests import CommitmentRequests, Reply

TRANSACTION, OTHER = "2.25.1", "2.25.2"
INSTANCES = {"1.2.3": "1.2.840.10008.5.1.4.1.1.7", "1.2.4": "1.2.840.10008.5.1.4.1.1.2"}


class Archive:
    """Answers by script; what it is asked is kept."""

    def __init__(self, *answers: Reply | TargetDown) -> None:
        self.answers = deque(answers)
        self.seen: list[tuple[str, str]] = []
        self.bodies: list[bytes | None] = []

    def __call__(self, method: str, transaction_uid: str, body: bytes | None) -> Reply:
        self.seen.append((method, transaction_uid))
        self.bodies.append(body)
        answer = self.answers.popleft()
        if isinstance(answer, TargetDown):
            raise answer
        return answer


def reply(status: int, body: bytes = b"", content_type: str = "application/dicom+json", retry_after: str = "") -> Reply:
    return Reply(status, content_type, body, retry_after)


def told(
    committed: tuple[str, ...] = (), failed: Mapping[str, object] | None = None, transaction_uid: str = ""
) -> bytes:
    """A Storage Commitment Response Module (PS3.18 section J.2)."""

    def item(uid: str) -> dict[str, object]:
        return {"00081150": {"vr": "UI", "Value": ["1.2.9"]}, "00081155": {"vr": "UI", "Value": [uid]}}

    data_set: dict[str, object] = {"00081199": {"vr": "SQ", "Value": [item(uid) for uid in committed]}}
    if failed:
        items = [item(uid) | {"00081197": {"vr": "US", "Value": [reason]}} for uid, reason in failed.items()]
        data_set["00081198"] = {"vr": "SQ", "Value": items}
    if transaction_uid:
        data_set["00081195"] = {"vr": "UI", "Value": [transaction_uid]}
    return json.dumps(data_set).encode()


ALL = told(("1.2.3", "1.2.4"))
COMMITTED = Commitment(frozenset(INSTANCES), {})


def test_the_transaction_is_in_the_path_and_the_instances_are_in_the_body() -> None:
    archive = Archive(reply(202))
    CommitmentRequests(archive).ask(TRANSACTION, INSTANCES)
    assert archive.seen == [("POST", TRANSACTION)]
    assert json.loads(archive.bodies[0] or b"") == {
        "00081199": {
            "vr": "SQ",
            "Value": [
                {"00081150": {"vr": "UI", "Value": [sop_class_uid]}, "00081155": {"vr": "UI", "Value": [uid]}}
                for uid, sop_class_uid in INSTANCES.items()
            ],
        }
    }


@pytest.mark.parametrize(
    ("body", "commitment"),
    [
        (ALL, COMMITTED),
        (told(("1.2.3",), {"1.2.4": 0x0112}), Commitment(frozenset({"1.2.3"}), {"1.2.4": 0x0112})),
        (told(("1.2.3",), {"1.2.4": "272"}), Commitment(frozenset({"1.2.3"}), {"1.2.4": 0x0110})),
        (told((), {"1.2.3": 0x0110, "1.2.4": 0x0110}), Commitment(frozenset(), dict.fromkeys(INSTANCES, 0x0110))),
        (told(("1.2.3", "1.2.4"), {"1.2.4": 0x0110}), Commitment(frozenset({"1.2.3"}), {"1.2.4": 0x0110})),
        (told(("1.2.3", "1.2.4"), transaction_uid=TRANSACTION), COMMITTED),
    ],
)
def test_an_answer_at_once_says_of_each_instance_whether_it_is_kept(body: bytes, commitment: Commitment) -> None:
    requests = CommitmentRequests(Archive(reply(200, body)))
    assert requests.ask(TRANSACTION, INSTANCES) == 0
    assert requests.transactions.of(TRANSACTION) == commitment


def test_an_answer_that_takes_its_time_is_fetched_when_the_archive_says() -> None:
    archive = Archive(reply(202, retry_after="7"), reply(202, retry_after="3"), reply(200, ALL))
    requests = CommitmentRequests(archive)
    assert requests.ask(TRANSACTION, INSTANCES) == 7
    assert requests.transactions.is_awaited(TRANSACTION)
    assert (requests.fetch(TRANSACTION), requests.transactions.of(TRANSACTION)) == (3, None)
    requests.fetch(TRANSACTION)
    assert requests.transactions.of(TRANSACTION) == COMMITTED
    assert archive.seen == [("POST", TRANSACTION), ("GET", TRANSACTION), ("GET", TRANSACTION)]


@pytest.mark.parametrize("status", [301, 400, 403, 404, 405, 406, 415, 422, 501])
def test_an_archive_without_the_service_is_told_from_one_that_is_busy(status: int) -> None:
    requests = CommitmentRequests(Archive(reply(status)))
    with pytest.raises(CommitmentRefused, match=f"http_{status}"):
        requests.ask(TRANSACTION, INSTANCES)
    assert not requests.transactions.is_awaited(TRANSACTION)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_what_was_not_taken_is_asked_anew_and_not_fetched(status: int) -> None:
    archive = Archive(reply(status, retry_after="5"))
    requests = CommitmentRequests(archive)
    assert requests.ask(TRANSACTION, INSTANCES) == 5
    with pytest.raises(AskAnew):
        requests.fetch(TRANSACTION)
    assert archive.seen == [("POST", TRANSACTION)]


@pytest.mark.parametrize("status", [404, 409, 410])
def test_what_the_archive_does_not_know_any_more_is_asked_anew(status: int) -> None:
    requests = CommitmentRequests(Archive(reply(202), reply(status)))
    requests.ask(TRANSACTION, INSTANCES)
    for _ in range(2):
        with pytest.raises(AskAnew):
            requests.fetch(TRANSACTION)
    requests.transactions.forget(TRANSACTION)
    assert not requests.transactions.is_awaited(TRANSACTION)
    assert not requests.transactions.is_lost(TRANSACTION)


NO_ANSWERS = [
    reply(200, b"<html>Welcome</html>", "text/html"),
    reply(200, b"", "application/dicom+json"),
    reply(200, ALL[:-9]),
    reply(200, told()),
    reply(200, told(("1.2.3",), transaction_uid=OTHER)),
    reply(204),
    reply(403),
    reply(503),
    TargetDown("timed_out"),
    TargetDown("connection_lost"),
]


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=str)
def test_what_is_no_answer_is_waited_for_and_what_comes_behind_it_counts(answer: Reply | TargetDown) -> None:
    requests = CommitmentRequests(Archive(reply(202), answer, reply(200, ALL)))
    requests.ask(TRANSACTION, INSTANCES)
    requests.fetch(TRANSACTION)
    assert requests.transactions.of(TRANSACTION) is None
    requests.fetch(TRANSACTION)
    assert requests.transactions.of(TRANSACTION) == COMMITTED


def test_a_request_that_nobody_answered_may_have_been_taken() -> None:
    archive = Archive(TargetDown("timed_out"), reply(200, ALL))
    requests = CommitmentRequests(archive)
    requests.ask(TRANSACTION, INSTANCES)
    requests.fetch(TRANSACTION)
    assert requests.transactions.of(TRANSACTION) == COMMITTED
    assert archive.seen[-1] == ("GET", TRANSACTION)


def test_an_archive_that_is_not_there_is_down() -> None:
    requests = CommitmentRequests(Archive(TargetDown("connect_failed"), reply(202), TargetDown("connect_failed")))
    with pytest.raises(TargetDown, match="connect_failed"):
        requests.ask(TRANSACTION, INSTANCES)
    assert not requests.transactions.is_awaited(TRANSACTION)
    requests.ask(OTHER, INSTANCES)
    with pytest.raises(TargetDown, match="connect_failed"):
        requests.fetch(OTHER)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (reply(404), "http_404"),
        (reply(503), "http_503"),
        (reply(200, b"<html></html>", "text/html"), "not_dicom_json"),
        (reply(200, told((), {"1.2.3": 0x0112})), ""),
        (reply(202), ""),
    ],
    ids=str,
)
def test_a_probe_asks_for_what_no_archive_has(answer: Reply, code: str) -> None:
    archive = Archive(answer)
    if code:
        with pytest.raises(CommitmentRefused, match=code):
            CommitmentRequests(archive).probe()
    else:
        CommitmentRequests(archive).probe()
    assert [method for method, _ in archive.seen] == ["POST"]
