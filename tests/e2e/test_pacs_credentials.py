"""Access tokens and client certificates, before a real nginx in front of Orthanc."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hooks.contract import OutcomeKind, TargetDown, TargetMisconfigured
from hooks.targets.oauth2 import ClientCredentials
from hooks.targets.stow import DicomWebTarget
from tests.dicom_samples import as_instance, instance, study
from tests.e2e.guarded import CLIENT_ID, CLIENT_SECRET, Authority, Guard, Issuer, Papers, guarded, issuing
from tests.e2e.lab import Lab, Pacs, running_lab, wait_until
from tests.e2e.orthanc import Orthanc
from tests.e2e.series import sha256
from tests.e2e.test_outage import upload
from tests.e2e.test_real_series import digests_in

pytestmark = pytest.mark.root


@dataclass(frozen=True)
class Site:
    """What stands in front of the archive."""

    guard: Guard
    ca: Path
    ours: Papers
    strangers: Papers  #: of an authority that nobody believes


@pytest.fixture(scope="module")
def issuer_of_module() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture
def issuer(issuer_of_module: Issuer) -> Issuer:
    issuer_of_module.good = set()
    issuer_of_module.asked.clear()
    issuer_of_module.life_s, issuer_of_module.only_in_body = 3600, False
    return issuer_of_module


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, orthanc_of_session: Orthanc, issuer_of_module: Issuer
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("guard")
    hospital, nobody = Authority(folder, "hospital"), Authority(folder, "nobody")
    server = hospital.papers("server")
    with guarded(folder, orthanc_of_session, issuer_of_module, server, hospital.cert) as guard:
        yield Site(guard, hospital.cert, hospital.papers("relay"), nobody.papers("stranger"))


def tokens(issuer: Issuer, secret: str = CLIENT_SECRET, **more: Any) -> ClientCredentials:
    return ClientCredentials(issuer.token_url, CLIENT_ID, secret, "dicom", **more)


def by_token(site: Site, auth: ClientCredentials) -> DicomWebTarget:
    return DicomWebTarget(site.guard.by_token, auth=auth, ca_bundle=str(site.ca))


def by_certificate(site: Site, papers: Papers | None) -> DicomWebTarget:
    auth = None if papers is None else ("mtls", str(papers.cert), str(papers.key))
    return DicomWebTarget(site.guard.by_certificate, auth=auth, ca_bundle=str(site.ca))


def store(target: DicomWebTarget, data: bytes) -> OutcomeKind:
    one = as_instance(data)
    return target.deliver([one], lambda: False)[one.instance_id].kind


# -- tokens


def test_one_token_is_enough_for_all_requests(site: Site, issuer: Issuer, orthanc: Orthanc) -> None:
    target, files = by_token(site, tokens(issuer)), study(3)
    assert [store(target, data) for data in files] == [OutcomeKind.STORED] * 3
    assert "answers" in target.probe()
    assert digests_in(orthanc) == sorted(map(sha256, files))
    assert issuer.asked == [{"grant_type": "client_credentials", "scope": "dicom"}]


def test_a_token_is_renewed_before_it_ends(site: Site, issuer: Issuer, orthanc: Orthanc) -> None:
    now = [1000.0]
    target = by_token(site, tokens(issuer, monotonic=lambda: now[0]))
    store(target, instance())
    now[0] += issuer.life_s - 61
    store(target, instance())
    assert len(issuer.asked) == 1
    now[0] += 2
    issuer.good.clear()
    assert store(target, instance()) is OutcomeKind.STORED
    assert len(issuer.asked) == 2


def test_a_token_that_the_pacs_takes_no_longer_is_renewed_once(site: Site, issuer: Issuer, orthanc: Orthanc) -> None:
    target = by_token(site, tokens(issuer))
    store(target, instance())
    issuer.good.clear()  # revoked
    data = instance(pixel_data=bytes(3_000_000))
    assert store(target, data) is OutcomeKind.STORED
    assert sha256(data) in digests_in(orthanc)
    assert len(issuer.asked) == 2


def test_a_pacs_that_takes_none_of_its_tokens_is_asked_twice_and_no_more(site: Site, issuer: Issuer) -> None:
    issuer.good = Nothing()
    with pytest.raises(TargetMisconfigured, match="http_401"):
        store(by_token(site, tokens(issuer)), instance())
    assert len(issuer.asked) == 2


class Nothing(set[str]):
    """Keeps nothing."""

    def add(self, element: str) -> None:
        pass


def test_an_issuer_that_wants_the_secret_in_the_form_gets_it_there(
    site: Site, issuer: Issuer, orthanc: Orthanc
) -> None:
    issuer.only_in_body = True
    target = by_token(site, tokens(issuer))
    assert store(target, instance()) is OutcomeKind.STORED
    issuer.good.clear()
    assert store(target, instance()) is OutcomeKind.STORED
    assert ["client_secret" in form for form in issuer.asked] == [False, True, True]


def test_a_wrong_secret_is_a_fault_of_the_configuration_and_an_issuer_that_is_away_is_none(
    site: Site, issuer: Issuer
) -> None:
    with pytest.raises(TargetMisconfigured, match="token_refused"):
        store(by_token(site, tokens(issuer, secret="wrong")), instance())
    away = ClientCredentials("http://127.0.0.1:9/token", CLIENT_ID, CLIENT_SECRET)
    with pytest.raises(TargetDown, match="token_connect_failed"):
        store(by_token(site, away), instance())


# -- certificates


def test_a_client_with_the_right_certificate_is_let_in(site: Site, orthanc: Orthanc) -> None:
    target, data = by_certificate(site, site.ours), instance()
    assert store(target, data) is OutcomeKind.STORED
    assert "answers" in target.probe()
    assert digests_in(orthanc) == [sha256(data)]


@pytest.mark.parametrize("papers", ["strangers", None])
def test_a_client_with_anothers_certificate_or_none_is_told_so(site: Site, papers: str | None) -> None:
    target = by_certificate(site, getattr(site, papers) if papers else None)
    for ask in (target.probe, lambda: store(target, instance(pixel_data=bytes(2_000_000)))):
        with pytest.raises(TargetMisconfigured, match="client_certificate_refused"):
            ask()


def test_a_pacs_whose_certificate_nobody_knows_gets_nothing(site: Site, orthanc: Orthanc) -> None:
    target = DicomWebTarget(site.guard.by_token, ca_bundle=str(site.strangers.cert))
    with pytest.raises(TargetDown, match="tls_failed"):
        store(target, instance())
    assert digests_in(orthanc) == []


# -- a gateway


def oauth2(site: Site, issuer: Issuer, secret: str) -> dict[str, dict[str, Any]]:
    return {
        "endpoints.main.auth": {
            "kind": "oauth2", "token_url": issuer.token_url, "client_id": CLIENT_ID, "client_secret": secret,
        },
        "endpoints.main": {"url": site.guard.by_token, "ca_bundle": str(site.ca)},
    }  # fmt: skip


def mtls(site: Site, papers: Papers) -> dict[str, dict[str, Any]]:
    return {
        "endpoints.main.auth": {"kind": "mtls", "cert": str(papers.cert), "key": str(papers.key)},
        "endpoints.main": {"url": site.guard.by_certificate, "ca_bundle": str(site.ca)},
    }


@pytest.mark.parametrize("kind", ["oauth2", "mtls"])
def test_wrong_credentials_stop_the_endpoint_and_not_the_upload(
    kind: str, site: Site, issuer: Issuer, orthanc: Orthanc, tmp_path: Path
) -> None:
    wrong, right = (
        (oauth2(site, issuer, "wrong"), oauth2(site, issuer, CLIENT_SECRET))
        if kind == "oauth2"
        else (mtls(site, site.strangers), mtls(site, site.ours))
    )
    with running_lab(tmp_path / "gateway", Pacs(""), settings=wrong) as lab:
        files = study(3)
        upload_id, client = upload(lab, files)
        client.complete(upload_id, wait_s=1).expect(202)
        wait_until("the endpoint is stopped", lambda: "endpoint.misconfigured" in lab.log_text())
        assert client.status(upload_id)["state"] == "delivering"
        _mend(lab, right)
        assert client.outcome(upload_id)["state"] == "success"
        assert digests_in(orthanc) == sorted(map(sha256, files))
        assert CLIENT_SECRET not in lab.log_text()


def _mend(lab: Lab, settings: dict[str, dict[str, Any]]) -> None:
    """The endpoint's part of the configuration, written anew; then serve starts again."""
    lab.stop()
    kept = lab.config.read_text().split("[endpoints.main.auth]")[0]
    lines = []
    for name, values in settings.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    lab.config.write_text("\n".join([kept, *lines, ""]))
    lab.start()
