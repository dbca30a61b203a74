"""Fields of JSON bodies and of queries, declared once: requests are read by the declaration, and the description of the
API is made from it (decision 7).

Reading is strict: an unknown field is named, never ignored, and no error quotes a value. `schema` is JSON Schema of the
draft that OpenAPI 3.1 uses (2020-12).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from gateway.errors import Malformed, Unprocessable

T = TypeVar("T")
Schema = dict[str, Any]

MAX_TEXT = 4096
#: Numbers above it are no sizes and no counts.
MAX_INTEGER = (1 << 50) - 1
_SHOWABLE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class FieldKind(ABC):
    """What a field may hold. `codes`: what a value of another kind is refused with."""

    codes: ClassVar[frozenset[str]] = frozenset({"invalid_field"})

    @abstractmethod
    def read(self, name: str, value: Any) -> Any:
        """The value, as the gateway works with it. :raises Unprocessable: it is of another kind; the error names it."""

    @abstractmethod
    def schema(self) -> Schema:
        """What the API's description says of it."""

    def missing(self, name: str) -> Unprocessable:
        """The error of a field that is needed and isn't there."""
        return Unprocessable(f"{name} is missing", code="missing_field", field=name)


def invalid(name: str, wanted: str) -> Unprocessable:
    """The error of a field of the wrong kind."""
    return Unprocessable(f"{name} must be {wanted}", code="invalid_field", field=name)


@dataclass(frozen=True, slots=True)
class Text(FieldKind):
    """A string. :param most: characters."""

    most: int = MAX_TEXT

    def read(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or len(value) > self.most:
            raise invalid(name, f"a string of at most {self.most} characters")
        return value

    def schema(self) -> Schema:
        return {"type": "string", "maxLength": self.most}


@dataclass(frozen=True, slots=True)
class Choice(FieldKind):
    """One of a few strings."""

    values: Sequence[str]

    def read(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in self.values:
            raise invalid(name, f"one of {', '.join(one for one in self.values if one)}")
        return value

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Integer(FieldKind):
    """A JSON number without a fraction, from `least` to `most`."""

    least: int = 0
    most: int = MAX_INTEGER

    def read(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            upto = "" if self.most == MAX_INTEGER else f" and at most {self.most}"
            raise invalid(name, f"an integer of at least {self.least}{upto}")
        return value

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Digits(FieldKind):
    """An integer from `least` to `most` in the digits of a query. `int()` would take `1_0`, `+5` and other alphabets."""

    least: int
    most: int

    def read(self, name: str, value: Any) -> int:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,18}", value):
            raise invalid(name, f"an integer from {self.least} to {self.most}")
        if not self.least <= int(value) <= self.most:
            raise invalid(name, f"an integer from {self.least} to {self.most}")
        return int(value)

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Flag(FieldKind):
    """True or false."""

    def read(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise invalid(name, "true or false")
        return value

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Texts(FieldKind):
    """An object of at most 64 strings.

    :param named: what is asked of those that we know.
    :param open: others are taken, too.
    """

    codes: ClassVar[frozenset[str]] = frozenset({"invalid_field", "unknown_field"})

    named: Mapping[str, FieldKind]
    open: bool = False

    def read(self, name: str, value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or not all(isinstance(v, str) and len(v) <= MAX_TEXT for v in value.values()):
            raise invalid(name, "an object of strings")
        if len(value) > 64 or not all(len(key) <= 64 for key in value):
            raise invalid(name, "an object of at most 64 short names")
        if not self.open:
            known(name, value, tuple(self.named))
        for key, kind in self.named.items():
            if key in value:
                kind.read(f"{name}.{key}", value[key])
        return value

    def schema(self) -> Schema:
        found = {"type": "object", "properties": {key: kind.schema() for key, kind in self.named.items()}}
        if not self.open:
            return found | {"additionalProperties": False}
        others = {"type": "string", "maxLength": MAX_TEXT}
        return found | {"additionalProperties": others, "propertyNames": {"maxLength": 64}, "maxProperties": 64}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a body or a query.

    :param about: a sentence for the API's description.
    :param default: of a field that is left out.
    :param nullable: null is as good as left out.
    """

    name: str
    kind: FieldKind
    about: str = ""
    required: bool = False
    default: Any = None
    nullable: bool = True

    @property
    def takes_null(self) -> bool:
        """See `nullable`."""
        return self.nullable and not self.required


@dataclass(frozen=True, slots=True)
class Record(Generic[T]):
    """A whole body or a whole query.

    :param into: made of the fields, by their names.
    :param closed: a field that isn't known is refused; if not, it is ignored.
    """

    into: Callable[..., T]
    fields: Sequence[Field] = ()
    closed: bool = True

    def read(self, body: Any) -> T:
        """:raises Malformed: no object. :raises Unprocessable: a field is missing, unknown or of the wrong kind."""
        if not isinstance(body, dict):
            raise Malformed("the body must be a JSON object", code="malformed_json")
        if self.closed:
            known("", body, [one.name for one in self.fields])
        for one in self.fields:
            if one.required and one.name not in body:
                raise one.kind.missing(one.name)
        return self.into(**{one.name: self._value(one, body) for one in self.fields})

    @staticmethod
    def _value(one: Field, body: dict[str, Any]) -> Any:
        if one.name not in body or (one.takes_null and body[one.name] is None):
            return copy(one.default)
        return one.kind.read(one.name, body[one.name])

    def schema(self) -> Schema:
        """Of the body."""
        found: Schema = {
            "type": "object",
            "properties": {one.name: _told(one) for one in self.fields},
            "additionalProperties": not self.closed,
        }
        if required := [one.name for one in self.fields if one.required]:
            found["required"] = required
        return found


def _told(one: Field) -> Schema:
    """Of one field of a body."""
    found = one.kind.schema()
    if one.takes_null:
        found = {"anyOf": [found, {"type": "null"}]}
    return found | ({"description": one.about} if one.about else {})


def known(where: str, fields: Mapping[str, Any], names: Sequence[str]) -> None:
    """:raises Unprocessable: `unknown_field`: a name that isn't known; what may be a value isn't shown."""
    for name in fields:
        if name not in names:
            shown = name if _SHOWABLE.fullmatch(name) else "(not shown)"
            path = f"{where}.{shown}" if where else shown
            told = f"known are {', '.join(names)}" if names else "none is taken"
            raise Unprocessable(f"unknown field {path}; {told}", code="unknown_field", field=path)
