"""Resumable Uploads for HTTP, line by line of docs/ietf-conformance.md, against a gateway that is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.ietf_site import CASES, statuses_of_page
from tests.conformance.tus_site import MAX_FILE_SIZE, NOWHERE, Site
from tests.e2e.lab import Lab, running_lab

PARTS = ("ietf_cases", "ietf_line_cases")
pytest.register_assert_rewrite(*(f"tests.conformance.{part}" for part in PARTS))

from tests.conformance import ietf_cases, ietf_line_cases  # noqa: E402, F401 - they register

DONE = [clause for clause, status in statuses_of_page().items() if status == "done"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder: Path = tmp_path_factory.mktemp("ietf") / "gateway"
    with running_lab(folder, NOWHERE, settings={"uploads": {"max_file_size": MAX_FILE_SIZE}}) as lab:
        lab.add_user("stranger", "uploader")
        yield lab


@pytest.fixture(scope="module", params=["upload token", "access token"])
def site(request: pytest.FixtureRequest, lab: Lab) -> Site:
    """Files of one upload that declares many, or each in an upload of its own."""
    client = lab.login()
    if request.param == "upload token":
        _, client = lab.open_upload(client, [MAX_FILE_SIZE] * 20 + [1000] * 130)
    return Site(lab, request.param, client, lab.login("stranger"))


def test_each_line_of_the_page_that_is_done_is_tried_and_nothing_else() -> None:
    page = statuses_of_page()
    assert {clause for clause, status in page.items() if status == "done"} == CASES.keys()
    assert set(page.values()) == {"done", "not done"}


@pytest.mark.parametrize("clause_id", DONE)
def test_clause(site: Site, clause_id: str) -> None:
    CASES[clause_id](site)
