"""The arrows between the rooms, read from the imports. docs/architecture.md draws them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VOCABULARY = {"gateway", "gateway.errors", "gateway.clock"}
IDENTITY = {
    "gateway.accounts",
    "gateway.foreign_accounts",
    "gateway.destinations",
    "gateway.oidc",
    "gateway.passwords",
    "gateway.principal",
    "gateway.refresh_tokens",
    "gateway.throttle",
    "gateway.tokens",
    "gateway.wiping",
}
INTAKE = {
    "gateway.uploads",
    "gateway.admission",
    "gateway.body",
    "gateway.checksums",
    "gateway.chunked",
    "gateway.completion",
    "gateway.intake",
    "gateway.membership",
    "gateway.rooms",
    "gateway.soundness",
}
RECORDS = {
    "gateway.audit_chain",
    "gateway.audit_check",
    "gateway.audit_dicom",
    "gateway.audit_events",
    "gateway.audit_export",
    "gateway.audit_files",
    "gateway.audit_retention",
    "gateway.receipt_keys",
    "gateway.receipts",
    "gateway.records",
    "gateway.service_keys",
}
STORES = {"gateway.ledger", "gateway.spool"}
STATES = {"gateway.protocol.lifecycle"}
EVERYTHING = {"gateway", "hooks"}

# A room and what it may import besides itself and the vocabulary. A module belongs to the longest name that fits it;
# a name allows all below it.
ARROWS: dict[str, set[str]] = {
    "gateway.errors": set(),
    "gateway.clock": set(),
    "gateway.protocol": set(),  # and of the vocabulary only the errors, see below
    "gateway.config": set(),
    "gateway.blobs": set(),
    "gateway.spool": {"gateway.blobs"},
    "gateway.ledger": STATES | {"gateway.audit_chain"},  # its rows hold states; its one writer chains the trail
    "gateway.leases": set(),
    **dict.fromkeys(RECORDS, RECORDS | STORES | STATES),
    **dict.fromkeys(IDENTITY, IDENTITY | RECORDS | STORES | STATES),
    "gateway.key_rotation": STORES,
    **dict.fromkeys(
        INTAKE,
        INTAKE
        | {"gateway.key_rotation"}
        | STORES
        | RECORDS
        | {"gateway.leases", "gateway.principal", "gateway.protocol"},
    ),
    "gateway.submissions": INTAKE | IDENTITY | RECORDS | STORES | {"gateway.leases", "gateway.protocol"},
    "gateway.qr": INTAKE | IDENTITY | STORES | {"gateway.protocol", "gateway.submissions"},
    "gateway.qr_picture": set(),
    "gateway.administration": RECORDS | STORES | STATES,
    "gateway.delivery": STORES | RECORDS | STATES | {"hooks"},
    "gateway.erasure": STORES | RECORDS | STATES | {"gateway.leases"},
    "gateway.retention": STORES | RECORDS | STATES | {"gateway.erasure"},
    "gateway.web": IDENTITY
    | INTAKE
    | RECORDS
    | {
        "gateway.administration",
        "gateway.config",
        "gateway.erasure",
        "gateway.leases",  # draining cuts the bodies in flight
        "gateway.ledger",
        "gateway.observe",
        "gateway.protocol",
        "gateway.qr",
        "gateway.qr_picture",
        "gateway.submissions",
    },
    "gateway.demo": set(),  # a PACS of its own: it knows nothing of the gateway in front of it
    "gateway.sending": set(),  # a client: it knows the gateway by its address only
    "gateway.logs": set(),
    "gateway.observe": {"gateway.ledger"},
    "gateway.wiring": EVERYTHING,  # the composition root
    "gateway.wiring_upkeep": EVERYTHING,  # its other half
    "gateway.cli": EVERYTHING,
    "gateway.__main__": {"gateway.cli"},
    "gateway": set(),
    "hooks": set(),  # knows DICOM, and nothing of the gateway
}

# What only these may import, whatever the table above allows them.
ONLY_FOR = {
    "gateway.cli": {"gateway.__main__"},
    "gateway.wiring": {"gateway.cli", "gateway.wiring_upkeep"},
    "gateway.wiring_upkeep": {"gateway.cli", "gateway.wiring"},
    "gateway.web": {"gateway.cli", "gateway.wiring", "gateway.wiring_upkeep"},
    "gateway.delivery": {"gateway.cli", "gateway.wiring", "gateway.wiring_upkeep"},
    "gateway.demo": {"gateway.cli", "gateway.wiring", "gateway.wiring_upkeep"},
    "gateway.sending": {"gateway.cli"},
}

# A dependency has a home: elsewhere it would carry its own errors, threads and values along.
HOMES = {
    "aiohttp": {"gateway.web", "gateway.demo", "gateway.cli.demo"},  # the last runs the apps of the two others
    "argon2": {"gateway.passwords"},
    "cryptography": {"gateway.demo.local_ca", "gateway.spool", "gateway.receipts", "gateway.tokens"},
    "dicomweb_client": {"hooks"},
    "jwt": {"gateway.oidc", "gateway.receipts", "gateway.tokens"},
    "pydicom": {"gateway.demo", "gateway.sending", "hooks"},
    "qrcode": {"gateway.qr_picture"},
    "requests": {"gateway.sending", "hooks"},
    "sqlite3": {"gateway.ledger"},
    "tusclient": {"gateway.sending"},
    "urllib3": {"gateway.sending", "hooks"},
    "uvloop": {"gateway.cli", "gateway.wiring"},
}

FACES = {
    "gateway.web": {"tus", "ietf", "rest", "auth", "qr", "ops", "admin", "pwa"},
    "gateway.protocol": {"tus", "ietf", "rest"},
}

MODULE_LINES, FUNCTION_LINES = 400, 60
LONG_ON_PURPOSE: dict[str, str] = {
    # "gateway/x.py" or "gateway/x.py:function": the reason
}


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer} (line {self.line}) imports {self.imported}"


@cache
def sources() -> dict[str, tuple[Path, ast.Module]]:
    """Every module of the product by its dotted name."""
    found = {}
    for package in ("gateway", "hooks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = (path, ast.parse(path.read_text(encoding="utf-8")))
    assert len(found) > 20, "the walk finds the product"
    return found


def imports_of(name: str, tree: ast.Module, *, is_package: bool = False) -> Iterator[Import]:
    """What a module imports, at its top or anywhere in it. `from gateway import x` counts as gateway.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(name, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                kept = parts[: len(parts) - node.level + is_package]
                base = ".".join([*kept, *([base] if base else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Import(name, full if full in sources() else base, node.lineno)


def all_imports() -> list[Import]:
    return [
        found
        for name, (path, tree) in sources().items()
        for found in imports_of(name, tree, is_package=path.name == "__init__.py")
    ]


def inside(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def room_of(name: str) -> str:
    fitting = [room for room in ARROWS if inside(name, {room})]
    return max(fitting, key=len)


def is_homeless(name: str) -> bool:
    return room_of(name) == "gateway" != name


def breaks(found: Import) -> str:
    """Why this import is not allowed; empty if it is."""
    top = found.imported.partition(".")[0]
    if is_homeless(found.importer):
        return ""  # told once, by the test above
    room = room_of(found.importer)
    if top in {"gateway", "hooks"}:
        for guarded, allowed in ONLY_FOR.items():
            if inside(found.imported, {guarded}) and room != guarded and not inside(found.importer, allowed):
                return f"only {', '.join(sorted(allowed))} may"
        if inside(found.imported, {room} - {"gateway"} | ARROWS[room]):
            return ""
        if found.imported in VOCABULARY and top == room.partition(".")[0] and room != "gateway.protocol":
            return ""
        if room == "gateway.protocol" and found.imported == "gateway.errors":
            return ""
        return "there is no such arrow: see docs/architecture.md, or draw it there and in ARROWS with its reason"
    if top in HOMES:
        return "" if inside(found.importer, HOMES[top]) else f"its home is {', '.join(sorted(HOMES[top]))}"
    return "" if top in sys.stdlib_module_names or top == "_typeshed" else "it has no home in HOMES"


def test_every_module_belongs_to_a_room():
    homeless = [name for name in sources() if is_homeless(name)]
    assert not homeless, f"say in ARROWS what these may import: {homeless}"


def test_every_import_follows_an_arrow():
    broken = {f"{found}: {why}" for found in all_imports() if (why := breaks(found))}
    assert not broken, "\n".join(sorted(broken))


@pytest.mark.parametrize("package", FACES)
def test_no_face_imports_another(package):
    faces = {f"{package}.{face}" for face in FACES[package]}
    for found in all_imports():
        mine = [face for face in faces if inside(found.importer, {face})]
        others = [face for face in faces if inside(found.imported, {face}) and face not in mine]
        assert not (mine and others), str(found)


def test_uploads_and_delivery_meet_only_in_the_ledger():
    for found in all_imports():
        if inside(found.importer, {"gateway.delivery"}):
            assert not inside(found.imported, INTAKE | {"gateway.web"}), str(found)
        if inside(found.importer, INTAKE):
            assert not inside(found.imported, {"gateway.delivery", "hooks"}), str(found)


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("gateway.protocol.tus", "asyncio.subprocess_made_up_by_aiohttp"),
        ("gateway.protocol.tus", "gateway.clock"),
        ("gateway.protocol.tus", "gateway.ledger.rows"),
        ("gateway.protocol.tus", "aiohttp"),
        ("gateway.blobs.local", "gateway.web.app"),
        ("gateway.spool.frames", "gateway.protocol.engine"),
        ("gateway.spool.frames", "gateway.ledger.rows"),
        ("gateway.ledger.rows", "gateway.protocol.engine"),
        ("gateway.ledger.sqlite", "gateway.spool"),
        ("gateway.uploads", "gateway.delivery.claim"),
        ("gateway.uploads", "hooks.contract"),
        ("gateway.uploads", "aiohttp.web"),
        ("gateway.delivery.claim", "gateway.uploads"),
        ("gateway.delivery.claim", "gateway.web.errors"),
        ("gateway.web.rest", "gateway.wiring"),
        ("gateway.web.rest", "gateway.spool.keys"),
        ("gateway.demo.archive", "gateway.ledger"),
        ("gateway.sending.state", "gateway.tokens"),
        ("gateway.tokens", "sqlite3"),
        ("hooks.stow", "gateway.errors"),
        ("hooks.stow", "aiohttp"),
        ("gateway.config.load", "yaml"),
    ],
)
def test_the_check_itself_sees_a_wrong_arrow(importer, imported):
    if imported.startswith("asyncio"):
        assert not breaks(Import(importer, imported, 1)), "the standard library is everybody's"
    else:
        assert breaks(Import(importer, imported, 1))


def test_relative_imports_and_packages_are_resolved():
    tree = ast.parse("from . import rows\nfrom ..web import made_up\nfrom gateway import errors\nimport gateway.clock")
    seen = {found.imported for found in imports_of("gateway.ledger.base", tree)}
    assert seen == {"gateway.ledger.rows", "gateway.web", "gateway.errors", "gateway.clock"}


def calls_of_post(tree: ast.Module) -> list[int]:
    """Lines of `request.post()` and of any `.post()` without arguments: a client's `post` takes an address."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "post"
        and (
            not (node.args or node.keywords)
            or (isinstance(node.func.value, ast.Name) and node.func.value.id[:3] == "req")
        )
    ]


def test_no_body_is_read_by_request_post():
    """It spools multipart files to clear temp files: a patient's bytes on a disk. `request.multipart()` doesn't."""
    assert calls_of_post(ast.parse("async def f(request): return await request.post()")) == [1]
    found = [f"{path.name}:{line}" for path, tree in sources().values() for line in calls_of_post(tree)
             if not inside(".".join(path.relative_to(ROOT).parts[:2]), {"gateway.sending", "hooks"})]  # fmt: skip
    assert not found


def test_modules_and_functions_stay_readable():
    long = {}
    for path, tree in sources().values():
        name = str(path.relative_to(ROOT))
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MODULE_LINES:
            long[name] = lines
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    long[f"{name}:{node.name}"] = length
    unexplained = {name: lines for name, lines in long.items() if name not in LONG_ON_PURPOSE}
    assert not unexplained, f"look for the seam, or give the reason in LONG_ON_PURPOSE: {unexplained}"
    assert not set(LONG_ON_PURPOSE) - set(long), "an exception that nothing needs any more"
