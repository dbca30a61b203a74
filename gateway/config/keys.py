"""What a key of the configuration is: a dataclass's field that knows its kind, its default and its help."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import kinds
from gateway.config.kinds import Kind, Surroundings

REQUIRED = object()
_NOWHERE = Surroundings({}, Path("/"))


@dataclass(frozen=True, slots=True)
class Key:
    """One key as the reference shows it."""

    name: str
    field: str
    kind: Kind[Any]
    default: object
    help: str


def key(kind: Kind[Any], default: object, help_: str, *, name: str = "") -> Any:
    """A dataclass field that is a key of the file. `default` is written as in TOML; `name` where it isn't the field's."""
    metadata = {"kind": kind, "default": default, "help": help_, "name": name}
    if default is None:
        return dataclasses.field(default=None, metadata=metadata)
    if default is REQUIRED or kind is kinds.secret:
        return dataclasses.field(metadata=metadata)
    parsed = kind.parse(default, _NOWHERE)
    if parsed.__hash__ is None:  # dataclasses want those made anew each time
        return dataclasses.field(default_factory=lambda: parsed, metadata=metadata)
    return dataclasses.field(default=parsed, metadata=metadata)


def keys_of(table: type) -> Iterator[Key]:
    """The keys of one table, in the order of the file."""
    for field in dataclasses.fields(table):
        if "kind" in field.metadata:
            meta = field.metadata
            yield Key(meta["name"] or field.name, field.name, meta["kind"], meta["default"], meta["help"])
