"""What the pages list is what the code has."""

from __future__ import annotations

import base64
import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from gateway import errors
from gateway.config import load, reference
from gateway.config.endpoint_checks import OF_KIND
from gateway.config.endpoints import AuthSection, EndpointSection
from gateway.config.keys import keys_of
from gateway.config.model import PLAIN_TABLES, OidcSection, SpoolKeysSection
from gateway.web.errors import status_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLE = ROOT / "config" / "relaypacs.example.toml"
SURROUNDINGS = {
    "RELAYPACS_TOKEN_SECRET": "a secret of more than thirty-two bytes",
    "PACS_PASSWORD": "hush",
    "RELAYPACS__SPOOL__KEYS__K1": base64.b64encode(b"k" * 32).decode(),
}


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


# --- configuration --------------------------------------------------------------------------------------------------


def test_every_key_is_documented_with_its_default():
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    made = text.partition("<!-- made by `make docs` from gateway/config/model.py -->")[2]
    assert made.strip() == reference().strip(), "docs/configuration.md is older than the keys: run `make docs`"


def test_the_example_loads():
    config = load(EXAMPLE, SURROUNDINGS)
    assert config.default_endpoint is not None
    assert config.default_endpoint.auth.kind == "basic"


def test_the_example_shows_every_key():
    example = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    for name, table in PLAIN_TABLES.items():
        wanted = {key.name for key in keys_of(table) if key.default is not None}
        assert wanted <= example[name].keys(), f"[{name}] lacks {wanted - example[name].keys()}"
    assert {key.name for key in keys_of(SpoolKeysSection)} <= example["spool"]["keys"].keys()
    of_others = {name for kind, names in OF_KIND.items() if kind != "dicomweb" for name in names}
    assert {key.name for key in keys_of(EndpointSection)} - of_others <= example["endpoints"]["main"].keys()
    text = EXAMPLE.read_text(encoding="utf-8")
    optional = [key for table in PLAIN_TABLES.values() for key in keys_of(table) if key.default is None]
    names = {key.name for key in (*keys_of(AuthSection), *keys_of(OidcSection), *optional)}
    for name in sorted(names | of_others):
        assert re.search(rf"\b{name} = ", text), name


def test_the_examples_oidc_table_loads_when_it_is_uncommented(tmp_path):
    text = EXAMPLE.read_text(encoding="utf-8")
    table = re.search(r"^# \[auth\.oidc\]\n(?:# .*\n)+", text, re.MULTILINE)
    assert table
    path = tmp_path / "relaypacs.toml"
    path.write_text(text.replace(table[0], re.sub(r"^# ", "", table[0], flags=re.MULTILINE)), encoding="utf-8")
    oidc = load(path, SURROUNDINGS).oidc
    assert oidc.roles_claim == "realm_access.roles"
    assert oidc.roles["relay-issue"] == "issuer"


def test_the_example_says_what_holds_anyway():
    """Who deletes a line of the example gets what the line said, but for what is the site's own."""
    own = {"public_url", "url", "display_name", "contact", "default"}
    config = load(EXAMPLE, SURROUNDINGS)
    for name, table in PLAIN_TABLES.items():
        for field in dataclasses.fields(table):
            if "default" in field.metadata and field.name not in own | {"secret"}:
                assert getattr(getattr(config, name), field.name) == field.default, f"[{name}] {field.name}"
    for key in keys_of(EndpointSection):
        if key.name not in own:
            shown = getattr(config.endpoints["main"], key.field)
            words = str(key.default).lower() if isinstance(key.default, bool) else str(key.default).strip('"')
            assert key.kind.show(shown).strip('"') == words, key.name


# --- errors ---------------------------------------------------------------------------------------------------------


def classes(root: type[errors.GatewayError] = errors.GatewayError) -> list[type[errors.GatewayError]]:
    ours = [sub for sub in root.__subclasses__() if sub.__module__ == errors.__name__]
    return [root, *(found for sub in ours for found in classes(sub))]


def documented_codes() -> dict[str, tuple[int, str]]:
    rows = re.findall(
        r"^\| `(\w+)` \| (\d{3}) \| (\w+) \|[^|]+\|[^|]+\|$", (DOCS / "errors.md").read_text(), re.MULTILINE
    )
    assert len(rows) == len({code for code, _, _ in rows}), "a code is listed twice"
    return {code: (int(status), name) for code, status, name in rows}


@pytest.mark.parametrize("error", classes(), ids=lambda error: error.__name__)
def test_every_code_is_documented_with_its_class_and_status(error):
    listed = documented_codes()
    for code in error.codes:
        assert code in listed, f"docs/errors.md lacks {code}"
        assert listed[code] == (status_of(error("made up", code=code)), error.__name__)


def test_every_documented_code_is_one_that_exists():
    assert set(documented_codes()) == {code for error in classes() for code in error.codes}


def test_a_code_belongs_to_one_class():
    codes = [code for error in classes() for code in error.codes]
    assert len(codes) == len(set(codes))


def test_the_tree_in_the_module_names_every_class():
    assert errors.__doc__
    for error in classes():
        assert error.__name__ in errors.__doc__ or error.__name__ in {
            "UnsupportedVersion",
            "UnsupportedMediaType",
            "MethodNotAllowed",
            "ChecksumMismatch",
        }


# --- pages ----------------------------------------------------------------------------------------------------------


def links(page: Path) -> list[str]:
    prose = re.sub(r"```.*?```|`[^`\n]*`(?!\])", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", prose)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page):
    for link in links(page):
        if not re.match(r"[a-z]+:", link):
            target = (page.parent / link.partition("#")[0]).resolve() if link[0] != "#" else page
            assert target.exists(), f"{link} leads nowhere"


def test_every_page_is_in_the_index():
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "README.md")}
    missing = [str(page.relative_to(DOCS)) for page in pages()[1:] if page != DOCS / "README.md" and page not in listed]
    assert not missing, f"docs/README.md doesn't lead to {missing}"


def test_lock_files_hold_hashes_and_no_address():
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        pins = re.findall(r"^[\w.-]+==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[\w.-]+(?:==|>|<|~|@| @)", text, re.MULTILINE)) > 10
        assert not re.search(r"://|--index|--find-links|--trusted|^-", text, re.MULTILINE)


def test_runtime_and_development_are_locked_to_the_same_versions():
    runtime, dev = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert runtime.items() <= dev.items()


def test_npm_locks_hold_no_registrys_address():
    locks = [path for path in ROOT.glob("**/package-lock.json") if "node_modules" not in path.parts]
    assert locks
    for path in locks:
        assert '"resolved"' not in path.read_text(), path
