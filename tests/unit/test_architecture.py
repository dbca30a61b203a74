"""The arrows between the rooms, read from the imports. The table of docs/architecture.md is what they are held to."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"

#: Rooms directly under gateway/: as many as a newcomer can hold in mind.
ROOMS = 25


@dataclass(frozen=True)
class Room:
    """A line of the page's table. A room is a package or a module; all below it is in it."""

    floor: int
    arrows: frozenset[str]


@cache
def rooms() -> Mapping[str, Room]:
    """The table `floor | room | may import`, by dotted names."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4 and cells[0].isdigit():
            (name,) = re.findall(r"`([\w./]+)`", cells[1])
            assert name not in found, f"{name} is in the table twice"
            found[name] = Room(int(cells[0]), frozenset(re.findall(r"`([\w.]+)`", cells[2])))
    assert found, "docs/architecture.md has the table"
    return found


# A dependency has a home: elsewhere it would carry its own errors, threads and values along.
HOMES = {
    "aiohttp": {"gateway.web", "gateway.demo", "gateway.cli.demo"},  # the last runs the apps of the two others
    "aiosqlite": {"gateway.demo", "gateway.ledger.sqlite"},
    "argon2": {"gateway.identity.passwords"},
    "cryptography": {
        "gateway.assembly.site",
        "gateway.demo.local_ca",
        "gateway.spool",
        "gateway.receipts",
        "gateway.identity.tokens",
    },
    "dicomweb_client": {"hooks.targets"},
    "jwt": {"gateway.identity", "gateway.receipts"},
    "prometheus_client": {"gateway.telling"},
    "pydicom": {"gateway.demo", "gateway.client", "hooks"},
    "pynetdicom": {"hooks.targets.dimse"},
    "qrcode": {"gateway.web.qr_picture"},
    "requests": {"gateway.client", "hooks.targets"},
    "sqlite3": {"gateway.ledger.sqlite"},
    "tusclient": {"gateway.client"},
    "urllib3": {"hooks.targets"},
    "uvloop": {"gateway.cli"},
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


@cache
def all_imports() -> list[Import]:
    return [
        found
        for name, (path, tree) in sources().items()
        for found in imports_of(name, tree, is_package=path.name == "__init__.py")
    ]


def inside(name: str, places: Iterable[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def room_of(name: str) -> str | None:
    """The longest name of the table that a module is in."""
    return max((room for room in rooms() if inside(name, {room})), key=len, default=None)


def is_homeless(name: str) -> bool:
    """In no room; a package's own few lines aside."""
    return room_of(name) in {None, "gateway"} and name not in {"gateway", "hooks"}


def breaks(found: Import) -> str:
    """Why this import is not allowed; empty if it is."""
    top = found.imported.partition(".")[0]
    if is_homeless(found.importer):
        return ""  # told once, by the test above
    room = room_of(found.importer)
    assert room is not None
    if top in {"gateway", "hooks"}:
        goal = room_of(found.imported)
        if goal == room or goal in rooms()[room].arrows:
            return ""
        return "there is no such arrow: see docs/architecture.md, or draw it there with its reason"
    if top in HOMES:
        return "" if inside(found.importer, HOMES[top]) else f"its home is {', '.join(sorted(HOMES[top]))}"
    return "" if top in sys.stdlib_module_names or top == "_typeshed" else "it has no home in HOMES"


def circle(arrows: Mapping[str, Iterable[str]]) -> list[str]:
    """One circle of a graph, if there is one."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def modules_of(names: Iterable[str]) -> dict[str, set[str]]:
    """What each module imports of us, those for type checkers and those inside functions included."""
    arrows: dict[str, set[str]] = {name: set() for name in names}
    for found in all_imports():
        if found.imported in arrows and found.imported != found.importer:
            arrows[found.importer].add(found.imported)
    return arrows


def test_every_module_belongs_to_a_room():
    homeless = [name for name in sources() if is_homeless(name)]
    assert not homeless, f"say in docs/architecture.md what these may import: {homeless}"


def test_every_room_is_there():
    missing = [room for room in rooms() if not any(inside(name, {room}) for name in sources())]
    assert not missing


def test_there_are_few_rooms():
    top = {name.split(".")[1] for name in sources() if name.count(".") and name.startswith("gateway.")}
    assert len(top) <= ROOMS, sorted(top)


def test_every_import_follows_an_arrow():
    broken = {f"{found}: {why}" for found in all_imports() if (why := breaks(found))}
    assert not broken, "\n".join(sorted(broken))


def test_every_arrow_is_used():
    used = {(room_of(found.importer), room_of(found.imported)) for found in all_imports()}
    idle = [f"{name} -> {goal}" for name, room in rooms().items() for goal in room.arrows if (name, goal) not in used]
    assert not idle, f"nobody needs these any more: {sorted(idle)}"


def test_no_arrow_goes_upward():
    upward = [f"{name} -> {goal}" for name, room in rooms().items() for goal in room.arrows
              if rooms()[goal].floor >= room.floor]  # fmt: skip
    assert not upward, f"a room stands on a lower floor than what it imports: {sorted(upward)}"


def test_no_module_imports_itself_in_a_circle():
    assert not (found := circle(modules_of(sources()))), " -> ".join(found)


def test_a_circle_is_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_every_home_of_a_dependency_is_used():
    used = {(found.imported.partition(".")[0], found.importer) for found in all_imports()}
    idle = [f"{top} in {home}" for top, homes in HOMES.items() for home in homes
            if not any(name == top and inside(importer, {home}) for name, importer in used)]  # fmt: skip
    assert not idle


@pytest.mark.parametrize("package", FACES)
def test_no_face_imports_another(package):
    faces = {f"{package}.{face}" for face in FACES[package]}
    for found in all_imports():
        mine = [face for face in faces if inside(found.importer, {face})]
        others = [face for face in faces if inside(found.imported, {face}) and face not in mine]
        assert not (mine and others), str(found)


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
        ("gateway.ledger.sqlite.ledger", "gateway.spool"),
        ("gateway.uploads.tail", "gateway.jobs.workers"),
        ("gateway.uploads.tail", "hooks.contract"),
        ("gateway.uploads.tail", "aiohttp.web"),
        ("gateway.jobs.workers", "gateway.uploads.tail"),
        ("gateway.jobs.workers", "gateway.web.errors"),
        ("gateway.web.rest", "gateway.assembly.gateway"),
        ("gateway.web.rest", "gateway.spool.keys"),
        ("gateway.demo.archive", "gateway.ledger"),
        ("gateway.client.state", "gateway.identity.tokens"),
        ("gateway.identity.tokens", "sqlite3"),
        ("hooks.targets.stow", "gateway.errors"),
        ("hooks.targets.stow", "aiohttp"),
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
             if not inside(".".join(path.relative_to(ROOT).parts[:2]), {"gateway.client", "hooks"})]  # fmt: skip
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


#: Classes of one name that have a reason to be.
NAMESAKES: dict[str, str] = {
    # "Name": the reason
}


def test_no_two_classes_have_one_name():
    places: dict[str, list[str]] = {}
    for name, (_, tree) in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(f"{name}:{node.lineno}")
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert set(twice) == set(NAMESAKES), twice
