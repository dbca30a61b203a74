"""The index of the little archive: what it holds, in a SQLite file beside the files, matched and paged by SQL.

It says nothing that the files don't: it may be deleted at any time, and is made again from them. It belongs to one event
loop; its thread is aiosqlite's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import aiosqlite

from gateway.demo import query
from gateway.demo.dicom_json import INSTANCE_TAGS, SERIES_TAGS, STUDY_TAGS, Attributes, only
from gateway.demo.query import Query

#: Of the schema; a file of another one is made anew.
VERSION = 1

_SCHEMA = """
CREATE TABLE studies (id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, attributes TEXT NOT NULL, arrived_at REAL NOT NULL);
CREATE TABLE series (
    id INTEGER PRIMARY KEY, study_id INTEGER NOT NULL REFERENCES studies ON DELETE CASCADE,
    uid TEXT NOT NULL, modality TEXT NOT NULL, attributes TEXT NOT NULL, UNIQUE (study_id, uid)
);
CREATE TABLE instances (
    id INTEGER PRIMARY KEY, series_id INTEGER NOT NULL REFERENCES series ON DELETE CASCADE,
    uid TEXT NOT NULL UNIQUE, class_uid TEXT NOT NULL, transfer_syntax_uid TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, arrived_at REAL NOT NULL, attributes TEXT NOT NULL
);
CREATE INDEX instances_of_series ON instances (series_id, id);
CREATE TABLE found_by (tag TEXT NOT NULL, value TEXT NOT NULL, owner INTEGER NOT NULL, PRIMARY KEY (tag, value, owner)) WITHOUT ROWID;
CREATE INDEX found_by_owner ON found_by (owner, tag);
"""

_INSTANCE = """
SELECT studies.uid, series.uid, instances.uid, instances.class_uid, instances.transfer_syntax_uid, instances.size_bytes,
       instances.arrived_at, studies.attributes, series.attributes, instances.attributes
FROM instances JOIN series ON series.id = series_id JOIN studies ON studies.id = study_id
"""
_SERIES = """
SELECT studies.uid, series.uid, studies.attributes, series.attributes,
       (SELECT count(*) FROM instances WHERE series_id = series.id)
FROM series JOIN studies ON studies.id = study_id
"""
_STUDY = """
SELECT uid, attributes, arrived_at,
       (SELECT json_group_array(modality) FROM (SELECT DISTINCT modality FROM series
        WHERE study_id = studies.id AND modality <> '' ORDER BY modality)),
       (SELECT count(*) FROM series WHERE study_id = studies.id),
       (SELECT count(*) FROM instances JOIN series ON series.id = series_id WHERE study_id = studies.id)
FROM studies
"""


class Level(IntEnum):
    """What a search answers with."""

    STUDY = 0
    SERIES = 1
    INSTANCE = 2


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """Attributes are those of the instance that came first."""

    uid: str
    attributes: Attributes
    arrived_at: float  #: of its last instance
    modalities: Sequence[str]
    series: int
    instances: int


@dataclass(frozen=True, slots=True)
class HeldSeries:
    """Attributes are those of study and series, by the instance that came first."""

    study_uid: str
    uid: str
    attributes: Attributes
    instances: int


@dataclass(frozen=True, slots=True)
class HeldInstance:
    """Attributes are those of study, series and instance."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    size_bytes: int
    arrived_at: float
    attributes: Attributes


class Catalogue:
    """See the module. Made by `open`, ended by `close`."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db = db
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> Catalogue:
        """The file there; a damaged one, or one of another release, is made anew and is empty."""
        try:
            return cls(await _opened(path))
        except (aiosqlite.DatabaseError, _OtherVersionError):
            for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                name.unlink(missing_ok=True)
            return cls(await _opened(path))

    async def close(self) -> None:
        """Let go of the file."""
        await self._db.close()

    async def known(self) -> dict[tuple[str, str, str], tuple[int, float]]:
        """(study, series, instance) -> size and arrival of all that it has."""
        rows = await self._db.execute_fetchall(
            "SELECT studies.uid, series.uid, instances.uid, size_bytes, instances.arrived_at FROM instances"
            " JOIN series ON series.id = series_id JOIN studies ON studies.id = study_id"
        )
        return {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}

    async def add(self, one: HeldInstance) -> None:
        """Show it; what was under that UID before goes."""
        async with self._writing:
            await self._db.execute("BEGIN")
            try:
                await self._drop(one.sop_instance_uid)
                await self._insert(one)
            except BaseException:
                await self._db.execute("ROLLBACK")
                raise
            await self._db.execute("COMMIT")

    async def drop(self, sop_instance_uids: Iterable[str]) -> None:
        """Their files are gone."""
        async with self._writing:
            await self._db.execute("BEGIN")
            for uid in sop_instance_uids:
                await self._drop(uid)
            await self._db.execute("COMMIT")

    async def get(self, sop_instance_uid: str) -> HeldInstance | None:
        """The instance of that UID, in whatever study."""
        rows = await self._rows(f"{_INSTANCE} WHERE instances.uid = ?", [sop_instance_uid])
        return next(map(_instance, rows), None)

    async def below(self, study: str, series: str | None, instance: str | None) -> list[HeldInstance]:
        """Instances of a study, one of its series, or one of those, in the order of their arrival."""
        named = [("studies.uid", study), ("series.uid", series), ("instances.uid", instance)]
        asked = [(column, uid) for column, uid in named if uid is not None]
        where = " AND ".join(f"{column} = ?" for column, _ in asked)
        sql = f"{_INSTANCE} WHERE {where} ORDER BY series.id, instances.id"
        return [_instance(row) for row in await self._rows(sql, [uid for _, uid in asked])]

    async def studies(self, asked: Query) -> list[HeldStudy]:
        """Those that match, in the order of their arrival."""
        return [_study(row) for row in await self._search(Level.STUDY, asked, {})]

    async def series(self, asked: Query, study: str | None) -> list[HeldSeries]:
        """Those that match, of a study or all."""
        rows = await self._search(Level.SERIES, asked, {"studies.uid": study})
        return [HeldSeries(row[0], row[1], _merged(row[2], row[3]), row[4]) for row in rows]

    async def instances(self, asked: Query, study: str | None, series: str | None) -> list[HeldInstance]:
        """Those that match, of a study, of one of its series, or all."""
        within = {"studies.uid": study, "series.uid": series}
        return [_instance(row) for row in await self._search(Level.INSTANCE, asked, within)]

    async def latest(self, limit: int) -> list[HeldStudy]:
        """Studies, those first that something arrived for last."""
        rows = await self._rows(f"{_STUDY} ORDER BY arrived_at DESC, id LIMIT ?", [limit])
        return [_study(row) for row in rows]

    async def totals(self) -> tuple[int, int]:
        """How many studies and instances."""
        rows = await self._rows("SELECT (SELECT count(*) FROM studies), (SELECT count(*) FROM instances)", [])
        studies, instances = rows[0]
        return studies, instances

    async def _search(self, level: Level, asked: Query, within: dict[str, str | None]) -> list[Any]:
        wanted = [(f"{column} = ?", [uid]) for column, uid in within.items() if uid is not None]
        wanted += [_condition(level, tag, pattern) for tag, pattern in asked.patterns]
        where = " AND ".join(sql for sql, _ in wanted) or "1"
        select, order = {
            Level.STUDY: (_STUDY, "studies.id"),
            Level.SERIES: (_SERIES, "studies.id, series.id"),
            Level.INSTANCE: (_INSTANCE, "studies.id, series.id, instances.id"),
        }[level]
        values: list[Any] = [value for _, given in wanted for value in given]
        values += [-1 if asked.limit is None else asked.limit, asked.offset]
        return await self._rows(f"{select} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?", values)

    async def _rows(self, sql: str, values: Sequence[Any]) -> list[Any]:
        async with self._writing:
            return list(await self._db.execute_fetchall(sql, values))

    async def _insert(self, one: HeldInstance) -> None:
        study, series, own = (only(one.attributes, tags) for tags in (STUDY_TAGS, SERIES_TAGS, INSTANCE_TAGS))
        study_id = await self._ensure(
            "INSERT INTO studies (uid, attributes, arrived_at) VALUES (?, ?, ?)"
            " ON CONFLICT (uid) DO UPDATE SET arrived_at = max(arrived_at, excluded.arrived_at) RETURNING id",
            [one.study_uid, json.dumps(study), one.arrived_at],
        )
        await self._find_by(study_id, "SELECT attributes FROM studies WHERE id = ?")
        modality = next((str(value) for value in series.get("00080060", {}).get("Value", ())), "")
        series_id = await self._ensure(
            "INSERT INTO series (study_id, uid, modality, attributes) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (study_id, uid) DO UPDATE SET uid = uid RETURNING id",
            [study_id, one.series_uid, modality, json.dumps(series)],
        )
        await self._find_by(series_id, "SELECT attributes FROM series WHERE id = ?")
        instance_id = await self._ensure(
            "INSERT INTO instances (series_id, uid, class_uid, transfer_syntax_uid, size_bytes, arrived_at, attributes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
            [
                series_id, one.sop_instance_uid, one.sop_class_uid, one.transfer_syntax_uid, one.size_bytes,
                one.arrived_at, json.dumps(own),
            ],
        )  # fmt: skip
        await self._find_by(instance_id, "SELECT attributes FROM instances WHERE id = ?")

    async def _ensure(self, sql: str, values: Sequence[Any]) -> int:
        return int(next(iter(await self._db.execute_fetchall(sql, values)))[0])

    async def _find_by(self, owner: int, sql: str) -> None:
        """Note what a row is found by."""
        (row,) = await self._db.execute_fetchall(sql, [owner])
        found = [(tag, text, owner) for tag, text in _searchable(json.loads(row[0]))]
        await self._db.executemany("INSERT OR IGNORE INTO found_by VALUES (?, ?, ?)", found)

    async def _drop(self, sop_instance_uid: str) -> None:
        rows = list(
            await self._db.execute_fetchall(
                "SELECT instances.id, series.id, study_id FROM instances JOIN series ON series.id = series_id"
                " WHERE instances.uid = ?",
                [sop_instance_uid],
            )
        )
        for instance_id, series_id, study_id in rows:
            await self._forget("instances", instance_id, INSTANCE_TAGS)
            if not await self._has("SELECT 1 FROM instances WHERE series_id = ?", series_id):
                await self._forget("series", series_id, SERIES_TAGS)
            if not await self._has("SELECT 1 FROM series WHERE study_id = ?", study_id):
                await self._forget("studies", study_id, STUDY_TAGS)

    async def _has(self, sql: str, owner: int) -> bool:
        return bool(list(await self._db.execute_fetchall(f"{sql} LIMIT 1", [owner])))

    async def _forget(self, table: str, row_id: int, tags: dict[str, str]) -> None:
        marks = ", ".join("?" * len(tags))
        # Tables of our own; values are always bound, here and in the conditions below.
        unnoted = f"DELETE FROM found_by WHERE owner = ? AND tag IN ({marks})"  # noqa: S608 # see above
        await self._db.execute(unnoted, [row_id, *tags.values()])
        await self._db.execute(f"DELETE FROM {table} WHERE id = ?", [row_id])  # noqa: S608 # see above


class _OtherVersionError(Exception):
    """The file is of another release."""


async def _opened(path: Path) -> aiosqlite.Connection:
    db = await aiosqlite.connect(path, isolation_level=None)
    try:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            await db.execute(f"PRAGMA {pragma}")
        (version,) = next(iter(await db.execute_fetchall("PRAGMA user_version")))
        (tables,) = next(iter(await db.execute_fetchall("SELECT count(*) FROM sqlite_master")))
        if version != VERSION and tables:
            raise _OtherVersionError
        if not tables:
            await db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
    except BaseException:
        await db.close()
        raise
    return db


#: Whose row has a tag: what is of a study isn't looked for among the instances.
_OWNERS = {
    **dict.fromkeys(STUDY_TAGS.values(), (Level.STUDY, "studies.id")),
    **dict.fromkeys(SERIES_TAGS.values(), (Level.SERIES, "series.id")),
    **dict.fromkeys(INSTANCE_TAGS.values(), (Level.INSTANCE, "instances.id")),
}
_MODALITIES_IN_STUDY = "00080061"


def _condition(level: Level, tag: str, pattern: str) -> tuple[str, list[str]]:
    """SQL that is true where the row, or the one it is below, has a value that matches."""
    if tag == _MODALITIES_IN_STUDY:
        if level is not Level.STUDY:
            return "0", []
        sql, values = query.condition("00080060", pattern, column="modality")
        return f"studies.id IN (SELECT study_id FROM series WHERE {sql})", values  # noqa: S608 # see `_forget`
    of, column = _OWNERS[tag]
    if of > level:
        return "0", []
    sql, values = query.condition(tag, pattern, column="value")
    return f"{column} IN (SELECT owner FROM found_by WHERE tag = ? AND {sql})", [tag, *values]  # noqa: S608 # see `_forget`


def _searchable(attributes: Attributes) -> Iterable[tuple[str, str]]:
    for tag, element in attributes.items():
        for value in element.get("Value", ()):
            yield tag, query.searchable(tag, value)


def _merged(*attributes: str) -> Attributes:
    merged: Attributes = {}
    for one in attributes:
        merged |= json.loads(one)
    return merged


def _study(row: Any) -> HeldStudy:
    return HeldStudy(row[0], json.loads(row[1]), row[2], json.loads(row[3]), row[4], row[5])


def _instance(row: Any) -> HeldInstance:
    study_uid, series_uid, uid, class_uid, syntax_uid, size_bytes, arrived_at, *attributes = row
    return HeldInstance(study_uid, series_uid, uid, class_uid, syntax_uid, size_bytes, arrived_at, _merged(*attributes))
