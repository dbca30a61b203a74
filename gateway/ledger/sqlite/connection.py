"""Connections to a ledger file: how one is made, brought to the present schema, and what its errors mean to callers."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from gateway.errors import ConfigError, SpoolFull, Unavailable
from gateway.ledger.sqlite.group import WritingConnection
from gateway.owners import leave_to_owner, why_not

T = TypeVar("T")

#: How long a lock of another process is waited for.
BUSY_TIMEOUT_S = 10.0
#: "RPLG": tells a ledger from any other SQLite file (PRAGMA application_id).
APPLICATION_ID = 0x52504C47
#: STRICT tables (SQLite 3.37) are the newest thing the schema uses.
OLDEST_SQLITE = (3, 37, 0)

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_STORAGE = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
}


class LedgerFull(SpoolFull):
    """SQLite found no room on its disk. To callers it is a SpoolFull like any other."""


def primary_code(error: BaseException) -> int:
    """SQLite's primary result code; 0 for any other error."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def meaning(error: BaseException) -> BaseException:
    """The error a caller gets for one of SQLite's. What is a bug of ours (SQL, misuse) stays itself."""
    code = primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return LedgerFull("the ledger's disk is full")
    if code in _BUSY:
        return Unavailable("another process holds the ledger", retry_after_s=1)
    if code in _STORAGE:
        return Unavailable("the ledger can't be read or written", code="storage_error")
    return error


def patiently(act: Callable[[], T]) -> T:
    """Run `act` until no lock of another process is in its way.

    The waits are short and uneven: against a process that commits without a pause only the small gap between two of
    its transactions is free, and SQLite's own waits (up to 100 ms) seldom hit it.

    :raises sqlite3.OperationalError: still busy after `BUSY_TIMEOUT_S`.
    """
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            if primary_code(error) not in _BUSY or time.monotonic() > end:
                raise
        time.sleep(random.uniform(0.0005, 0.003))  # noqa: S311 # jitter, no secret


def open_writer(path: Path, *, migrate: bool = False) -> WritingConnection:
    """The connection that writes; makes the file if need be.

    The file is readable to its owner only (SQLite gives -wal and -shm the same mode), a directory made for it too. A
    directory that is there already stays as it is.

    :param migrate: bring an older schema to the present one. Only who knows that no older gateway runs may.
    :raises ConfigError: the file is no ledger, or one of another release, or the SQLite library is too old.
    :raises Unavailable: locked or unreadable.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise ConfigError("the SQLite library is older than 3.37: use a newer Python or system")
    try:
        _make(path)
        db = _connect(path, "rw", busy_timeout_s=0, factory=WritingConnection)
    except OSError as error:
        raise Unavailable(f"{path} can't be opened ({why_not(path, error)})", code="storage_error") from error
    except sqlite3.Error as error:
        raise Unavailable(f"{path} can't be opened: look whose it is", code="storage_error") from error
    assert isinstance(db, WritingConnection)
    try:
        patiently(lambda: _check(db, migrate=migrate))
        patiently(lambda: db.execute("PRAGMA journal_mode = WAL").fetchone())
        # FULL: a commit returns after its fsync. The rest keeps a deleted key, and anything spilled, off the disk.
        for pragma in ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON", "wal_autocheckpoint = 0"):
            patiently(partial(db.execute, f"PRAGMA {pragma}"))
        _migrate(db)
    except sqlite3.Error as error:
        db.close()
        if primary_code(error) == sqlite3.SQLITE_NOTADB:
            raise ConfigError("[database] url: the file is no ledger of relaypacs") from error
        raise meaning(error) from error
    except BaseException:
        db.close()
        raise
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads; the file must have been opened for writing before.

    :raises Unavailable: it can't be opened.
    """
    try:
        return _connect(path, "ro", busy_timeout_s=BUSY_TIMEOUT_S)
    except sqlite3.Error as error:
        raise Unavailable(f"{path} can't be opened: look whose it is", code="storage_error") from error


def open_unchanged(path: Path) -> sqlite3.Connection:
    """A connection for a look at a ledger, whoever uses it: makes no file, migrates nothing.

    :raises ConfigError: the file is no ledger, or one of a newer release.
    :raises Unavailable: it can't be read.
    """
    try:
        with path.open("rb"):
            pass
        # Without a log beside it nobody writes just now, and SQLite need not make the files that readers share.
        mode = "ro" if path.with_name(path.name + "-wal").exists() else "ro&immutable=1"
        db = _connect(path, mode, busy_timeout_s=BUSY_TIMEOUT_S)
        try:
            _check(db, migrate=True)
        except BaseException:
            db.close()
            raise
    except OSError as error:
        raise Unavailable(f"{path} can't be read ({why_not(path, error)})", code="storage_error") from error
    except sqlite3.Error as error:
        if primary_code(error) == sqlite3.SQLITE_NOTADB:
            raise ConfigError("[database] url: the file is no ledger of relaypacs") from error
        raise meaning(error) from error
    return db


def _connect(
    path: Path,
    mode: str,
    *,
    busy_timeout_s: float,
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,  # BEGIN and COMMIT are ours
        check_same_thread=False,  # opened in one thread, used in another; never in two at once
        cached_statements=256,
        factory=factory,
    )
    try:
        db.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        db.close()
        raise
    return db


def _make(path: Path) -> None:
    directory = path.absolute().parent
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(directory.parent)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        leave_to_owner(path)
        _sync(directory)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _migrate(db: sqlite3.Connection) -> None:
    migrations = _migrations()
    # Another process may be making the file or recovering its log at this very moment: it locks even readers out.
    if patiently(lambda: db.execute("PRAGMA user_version").fetchone()[0]) == len(migrations):
        return
    patiently(lambda: db.execute("BEGIN EXCLUSIVE"))
    try:
        for sql in migrations[_version(db) :]:  # asked again: another process may have been quicker
            for statement in _statements(sql):
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(migrations)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _check(db: sqlite3.Connection, *, migrate: bool) -> None:
    """Look before anything is changed. In a transaction: another process may be making the file just now."""
    db.execute("BEGIN")
    try:
        version = _version(db)
        if 0 < version < len(_migrations()) and not migrate:
            raise ConfigError(
                f"[database] url: the schema is that of an older release ({version} of {len(_migrations())}): stop that "
                "gateway, then run `relaypacs migrate` or start this one"
            )
    finally:
        db.execute("ROLLBACK")


def _version(db: sqlite3.Connection) -> int:
    """Number of the last migration that the file has seen.

    :raises ConfigError: the file is no ledger, or a newer release wrote it.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    application_id = int(db.execute("PRAGMA application_id").fetchone()[0])
    empty = version == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application_id != APPLICATION_ID and not empty:
        raise ConfigError("[database] url: the file is no ledger of relaypacs")
    if version > len(_migrations()):
        raise ConfigError("[database] url: the ledger was written by a newer release: install that one")
    return version


def is_present(db: sqlite3.Connection) -> bool:
    """Whether the ledger has this release's schema."""
    return _version(db) == len(_migrations())


def migrate(path: Path) -> tuple[int, int]:
    """Make the ledger, or bring it to the present schema. Only who knows that no gateway of another release runs may.

    :returns: the schema that it had (0: there was none), and that it has.
    :raises ConfigError: the file is no ledger, or a newer release wrote it.
    :raises Unavailable: it can't be opened.
    """
    before = 0
    if path.exists() and path.stat().st_size:
        try:
            db = _connect(path, "rw", busy_timeout_s=BUSY_TIMEOUT_S)
            with closing(db):
                before = _version(db)
        except sqlite3.Error as error:
            raise meaning(error) from error
    open_writer(path, migrate=True).close()
    return before, len(_migrations())


def _migrations() -> list[str]:
    """The SQL of schema/NNNN_*.sql in order; a ledger's version is how many of them it has seen."""
    found = sorted(
        (entry for entry in (files("gateway.ledger.sqlite") / "schema").iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return [entry.read_text(encoding="utf-8") for entry in found]


def _statements(sql: str) -> Iterator[str]:
    """Split a script: `executescript` would commit the transaction that a migration needs."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
