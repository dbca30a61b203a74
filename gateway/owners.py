"""Whose a path is, in words for whoever has to mend it, and in whose hands what root makes is left."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def name_of(user_id: int) -> str:
    """The Unix user's name, or its number where nobody has it."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)


def me() -> str:
    """The Unix user that this process acts for."""
    return name_of(os.geteuid())


def why_not(path: Path, error: OSError) -> str:
    """Why the system doesn't give `path`, whose it is, and what to do: the end of a sentence."""
    reason = os.strerror(error.errno) if error.errno else "no such place"
    known = path
    while not known.exists() and known != known.parent:
        known = known.parent
    try:
        owner = name_of(known.stat().st_uid)
    except OSError:
        owner = "?"
    if isinstance(error, PermissionError):
        return f"{reason}: {known} belongs to {owner}, this runs as {me()}: run it as {owner}, or chown that"
    return f"{reason}: make it, or name another"


def leave_to_owner(path: Path) -> None:
    """What root makes in a service's folder belongs to the service, which couldn't open it otherwise."""
    if os.geteuid() != 0:
        return
    folder = path.parent.stat()
    if folder.st_uid != 0:
        os.chown(path, folder.st_uid, folder.st_gid)
