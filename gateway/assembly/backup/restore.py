"""A backup put back, into an empty database and spool.

Promises: nothing that is there is written over; before anything is written it is known that the configuration's master
keys open it.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from gateway.assembly.backup import folder as layout
from gateway.assembly.backup.folder import Manifest
from gateway.audit.files import former_files
from gateway.errors import ConfigError, Unavailable
from gateway.ledger.sqlite.connection import open_unchanged
from gateway.ledger.sqlite.transaction import SqliteTransaction
from gateway.owners import why_not
from gateway.spool import KeyRing


def restore(
    folder: Path, ring: KeyRing, *, database: Path, spool: Path, audit_file: Path | None
) -> tuple[Manifest, bool]:
    """Copy a backup to where the configuration says.

    :returns: what the backup says of itself, and whether the audit files were put back, too: not where there are some.
    :raises ConfigError: something is there already, a master key is missing, or `folder` is no backup.
    :raises Unavailable: it can't be read or written.
    """
    manifest = layout.read(folder)
    if database.exists():
        raise ConfigError(f"{database} is there already: restore into an empty place, or move that away")
    if next(layout.blobs_below(spool), None) is not None:
        raise ConfigError(f"{spool} isn't empty: restore into an empty place, or move that away")
    with closing(open_unchanged(folder / layout.LEDGER)) as db:
        ring.require(SqliteTransaction(db).keys.kek_ids())
    fresh = database.with_name(database.name + ".restoring")
    try:
        fresh.unlink(missing_ok=True)
        layout.copy_blobs(folder / layout.SPOOL, spool)
        with_files = _restore_audit(folder / layout.AUDIT, audit_file)
        layout.copy_file(folder / layout.LEDGER, fresh)
        fresh.rename(database)  # last: without a database nothing of it is used
        layout.sync_folder(database.parent)
    except OSError as error:
        raise Unavailable(f"the backup can't be put back ({why_not(spool, error)})", code="storage_error") from None
    return manifest, with_files


def _restore_audit(source: Path, present: Path | None) -> bool:
    if present is None or not source.is_dir():
        return present is None
    if present.exists() or former_files(present):
        return False
    present.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        layout.copy_file(path, present.with_name(path.name))
    layout.sync_folder(present.parent)
    return True
