"""`check`, `migrate` and what `serve` looks at: one list, faults told from warnings, nothing changed by looking."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.assembly.site import Severity, findings, require_sound
from gateway.cli import main
from gateway.config import load
from gateway.errors import ConfigError
from gateway.ledger.sqlite import connection
from tests.commands.test_transport import certificate, configuration

__all__ = ["certificate"]  # a fixture

Found = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    """What is found on this machine with these lines of configuration: part -> severity and words."""

    def look(server: str = "", more: str = "", mode: int = 0o600) -> dict[str, tuple[str, str]]:
        path = configuration(tmp_path, server, more)
        path.chmod(mode)
        return {one.part: (str(one.severity), one.words) for one in findings(load(path, {}), path)}

    return look


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below: mode, size, time of change."""
    facts = {str(path): path.lstat() for path in folder.rglob("*")}
    return {name: (one.st_mode, one.st_size, one.st_mtime_ns) for name, one in facts.items()}


def test_looking_makes_no_folder_and_no_file(tmp_path: Path, found: Found) -> None:
    found()
    before = tree(tmp_path)
    said = found()
    assert {name: facts for name, facts in tree(tmp_path).items() if "toml" not in name} == {
        name: facts for name, facts in before.items() if "toml" not in name
    }
    assert said["database"][0] == said["spool"][0] == "warning"
    assert "isn't there yet" in said["database"][1]


def test_looking_at_a_ledger_leaves_nothing_beside_it(tmp_path: Path, found: Found) -> None:
    (tmp_path / "data").mkdir()
    connection.migrate(tmp_path / "data" / "relaypacs.db")
    before = tree(tmp_path / "data")
    assert found()["database"] == ("ok", "can be read and written")
    assert tree(tmp_path / "data") == before


def test_a_certificate_with_anothers_key_is_a_fault_for_both(tmp_path: Path, found: Found, certificate) -> None:
    cert, key = certificate
    other = tmp_path / "other.pem"
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    assert found(f'tls_cert = "{cert}"\ntls_key = "{key}"')["tls"][0] == "warning", "it ends tomorrow"
    severity, words = found(f'tls_cert = "{cert}"\ntls_key = "{other}"')["tls"]
    assert (severity, "isn't the key" in words) == ("FAULT", True)


def test_what_reports_are_taken_with_is_looked_at_too(tmp_path: Path, found: Found, certificate) -> None:
    cert, key = certificate
    archive = '[endpoints.archive]\nkind = "dimse"\nhost = "127.0.0.1"\ncalled_aet = "A"\ncommitment = true\n'
    reports = f'{archive}[dimse]\nhost = "10.1.2.9"\n'
    assert "dimse" not in found("", archive)
    assert "come without TLS" in found("", reports)["dimse"][1]
    tls = f'{reports}tls_cert = "{cert}"\ntls_key = "{key}"\n'
    assert found("", tls)["dimse"][0] == "warning", "it ends tomorrow"
    severity, words = found("", f'{tls}tls_ca = "{key}"\n')["dimse"]
    assert (severity, "dimse.tls_ca: " in words) == ("FAULT", True)


def test_an_audit_file_that_is_a_folder_is_a_fault_and_serve_says_the_same(tmp_path: Path, found: Found) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    severity, words = found()["audit"]
    assert severity == "FAULT"
    path = tmp_path / "relaypacs.toml"
    with pytest.raises(ConfigError, match=words.split(":")[0]):
        require_sound(findings(load(path, {}), path))


def test_a_spool_larger_than_its_disk_and_a_proxy_that_is_everybody_are_warnings(tmp_path: Path, found: Found) -> None:
    (tmp_path / "spool").mkdir()
    said = found('trusted_proxies = ["0.0.0.0/0"]')
    assert said["proxy"][0] == "warning"
    path = tmp_path / "relaypacs.toml"
    huge = {"RELAYPACS__SPOOL__MAX_BYTES": "900000GiB"}
    (spool,) = [
        one for one in findings(load(path, huge), path) if one.severity is Severity.WARNING and one.part == "spool"
    ]
    assert "more than the disk's" in spool.words


@pytest.mark.parametrize(("mode", "severity"), [(0o644, "warning"), (0o640, None)])
def test_secrets_that_everybody_can_read_are_told(found: Found, mode: int, severity: str | None) -> None:
    assert found(mode=mode).get("secrets", (None, ""))[0] == severity


def test_a_key_file_that_everybody_can_read_is_told_by_its_path(tmp_path: Path, found: Found) -> None:
    path = configuration(tmp_path, "")
    key = tmp_path / "k2.key"
    key.write_text(path.read_text().split('k1 = "')[1].split('"')[0])
    key.chmod(0o644)
    path.chmod(0o600)
    loaded = load(path, {"RELAYPACS__SPOOL__KEYS__K2": f'{{ file = "{key}" }}'})
    assert any(str(key) in one.words for one in findings(loaded, path) if one.part == "secrets")


def test_a_pacs_by_plain_http_off_this_machine_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    path = configuration(tmp_path, "")
    away = {"RELAYPACS__ENDPOINTS__MAIN__URL": "http://pacs.example.org/dicom-web"}
    with pytest.raises(ConfigError, match="plain_http"):
        load(path, away)
    allowed = load(path, away | {"RELAYPACS__ENDPOINTS__MAIN__PLAIN_HTTP": "true"})
    assert [one.severity for one in findings(allowed, path) if one.part == "endpoint main"] == [Severity.WARNING]


def older(path: Path) -> None:
    """A ledger as a former release left it: one migration behind."""
    path.parent.mkdir(exist_ok=True)
    behind = connection._migrations()[:-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "_migrations", lambda: behind)
        connection.migrate(path)


def version(path: Path) -> int:
    db = sqlite3.connect(path)
    try:
        return int(db.execute("PRAGMA user_version").fetchone()[0])
    finally:
        db.close()


def test_only_migrate_changes_the_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    config, ledger = configuration(tmp_path, ""), tmp_path / "data" / "relaypacs.db"
    older(ledger)
    before = version(ledger)
    monkeypatch.setenv("RELAYPACS_CONFIG", str(config))
    for words in (["user", "list"], ["audit", "verify"], ["purge"]):
        assert main(words) == 1
        assert "relaypacs migrate" in capsys.readouterr().err
    main(["check"])
    assert "older release's" in capsys.readouterr().out
    assert version(ledger) == before
    assert main(["migrate"]) == 0
    assert version(ledger) == before + 1
    assert main(["user", "list"]) == 0


def test_under_a_running_gateway_the_schema_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from gateway.assembly.gateway import alone

    config, ledger = configuration(tmp_path, ""), tmp_path / "data" / "relaypacs.db"
    older(ledger)
    before = version(ledger)
    monkeypatch.setenv("RELAYPACS_CONFIG", str(config))
    with alone(ledger):
        assert main(["migrate"]) == 1
    assert "stop it" in capsys.readouterr().err
    assert version(ledger) == before


def test_check_prints_objects_for_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("RELAYPACS_CONFIG", str(configuration(tmp_path, "")))
    assert main(["check", "--json"]) == 1
    told = {one["part"]: one["state"] for one in json.loads(capsys.readouterr().out)}
    assert (told["config"], told["endpoint main"]) == ("ok", "fault")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave something to others")
def test_what_root_makes_belongs_to_the_folder_s_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAYPACS_CONFIG", str(configuration(tmp_path, "")))
    for name in ("data", "spool"):
        (tmp_path / name).mkdir(mode=0o700)
        shutil.chown(tmp_path / name, 65534)
    assert main(["user", "list"]) == 0
    made = [path for name in ("data", "spool") for path in (tmp_path / name).rglob("*")]
    assert made
    assert {path.stat().st_uid for path in made} == {65534}
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o077 for path in made)
