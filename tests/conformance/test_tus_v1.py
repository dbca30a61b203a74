"""tus 1.0.0, line by line of docs/tus-conformance.md, against a gateway that is served."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.tus_site import CASES, MAX_FILE_SIZE, NOWHERE, ORIGIN, Site, clauses_of_page
from tests.e2e.lab import Lab, running_lab

PARTS = ("tus_core_cases", "tus_extension_cases", "tus_line_cases", "tus_concat_cases")
pytest.register_assert_rewrite(*(f"tests.conformance.{part}" for part in PARTS))

from tests.conformance import tus_concat_cases, tus_core_cases, tus_extension_cases, tus_line_cases  # noqa: E402, F401 - they register


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    settings = {"server": {"cors_origins": [ORIGIN]}, "uploads": {"max_file_size": MAX_FILE_SIZE}}
    with running_lab(tmp_path_factory.mktemp("tus") / "gateway", NOWHERE, settings=settings) as lab:
        lab.add_user("stranger", "uploader")
        yield lab


@pytest.fixture(scope="module", params=["upload token", "access token"])
def site(request: pytest.FixtureRequest, lab: Lab) -> Site:
    """Files of one upload that declares many, or each in an upload of its own."""
    client = lab.login()
    if request.param == "upload token":
        _, client = lab.open_upload(client, [MAX_FILE_SIZE] * 40 + [1000] * 60)
    return Site(lab, request.param, client, lab.login("stranger"))


def test_each_line_of_the_page_is_tried_and_nothing_else() -> None:
    page = clauses_of_page()
    assert page.keys() == CASES.keys()
    assert set(page.values()) == {"MUST", "SHOULD", "ours"}


@pytest.mark.parametrize("clause_id", clauses_of_page())
def test_clause(site: Site, clause_id: str) -> None:
    CASES[clause_id](site)
