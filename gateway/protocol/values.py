"""Values that fields of the REST facade hold: ids, reasons, digests, dates."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

from gateway.errors import Malformed, Unprocessable
from gateway.protocol.fields import FieldKind, Schema, Text, invalid

FILE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
#: Digest algorithms of RFC 9530 that we compute, and hashlib's names for them.
DIGEST_ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}

#: One mailbox and nothing else: no list, no name, no line of its own.
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}", re.ASCII)
_DIGEST = re.compile(r"([a-z0-9-]+)=:([A-Za-z0-9+/=]*):")


class FileId(FieldKind):
    """A client's name of a file: `[A-Za-z0-9_-]{1,64}`."""

    def read(self, name: str, value: Any) -> str:  # noqa: ARG002 - a file_id is called so wherever it stands
        return check_file_id(value)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{FILE_ID.pattern}$"}

    def missing(self, name: str) -> Unprocessable:  # noqa: ARG002 - what every kind of field is asked by
        return _no_file_id()


class ReasonText(FieldKind):
    """Why somebody does what others will see."""

    codes: ClassVar[frozenset[str]] = frozenset({"invalid_field", "reason_required"})

    def read(self, name: str, value: Any) -> str:
        reason = Text().read(name, "" if value is None else value).strip()
        if not reason:
            raise self.missing(name)
        return reason

    def schema(self) -> Schema:
        return Text().schema() | {"minLength": 1, "pattern": r"\S"}

    def missing(self, name: str) -> Unprocessable:
        return Unprocessable(f"say why, as `{name}`", code="reason_required", field=name)


class LoginText(FieldKind):
    """Half of what somebody logs in by. How long it may be is asked of those who know the account."""

    codes: ClassVar[frozenset[str]] = frozenset({"missing_field"})

    def read(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise self.missing(name)
        return value

    def schema(self) -> Schema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class OneValue(FieldKind):
    """What a file has to say, to be let through: no list, no pattern, not blank."""

    most: int

    def read(self, name: str, value: Any) -> str:
        text = Text().read(name, value)
        if not text.strip() or "\\" in text or not text.isprintable() or len(text) > self.most:
            raise invalid(name, f"one value of 1 to {self.most} characters")
        return text

    def schema(self) -> Schema:
        return {"type": "string", "minLength": 1, "maxLength": self.most, "pattern": r"^[^\\]*[^\\\s][^\\]*$"}


class Mailbox(FieldKind):
    """One address that a mail can be sent to as it is written, or nothing."""

    def read(self, name: str, value: Any) -> str:
        text = Text().read(name, value)
        if text and not is_mailbox(text):
            raise invalid(name, "one address, like ed@example.org")
        return text

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^({_MAILBOX.pattern})?$"}


class BirthDate(FieldKind):
    """A date that a person can be born at, `YYYY-MM-DD` or `YYYYMMDD`."""

    def read(self, name: str, value: Any) -> str:
        text = OneValue(10).read(name, value)
        if not _is_birth_date(text.strip()):
            raise invalid(name, "a date, YYYY-MM-DD or YYYYMMDD")
        return text

    def schema(self) -> Schema:
        return {"type": "string", "pattern": "^ *([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}) *$"}


class Checksums(FieldKind):
    """Client's file_id -> `sha-256=:base64:` (RFC 9530)."""

    def read(self, name: str, value: Any) -> dict[str, dict[str, bytes]]:
        if not isinstance(value, dict):
            raise invalid(name, "an object")
        return {check_file_id(file_id): self._digests(name, one) for file_id, one in value.items()}

    @staticmethod
    def _digests(name: str, value: Any) -> dict[str, bytes]:
        try:
            return read_digest(name, value)
        except Malformed as error:
            raise Unprocessable(error.detail, code="invalid_field", field=name) from None

    def schema(self) -> Schema:
        digest = {"type": "string", "pattern": "^(sha-256|sha-512)=:[A-Za-z0-9+/=]*:$"}
        return {"type": "object", "propertyNames": FileId().schema(), "additionalProperties": digest}


def is_mailbox(text: str) -> bool:
    """Whether a mail can be sent there as it is written."""
    return _MAILBOX.fullmatch(text) is not None


def check_file_id(file_id: Any) -> str:
    """A client's file_id. :raises Unprocessable: not `[A-Za-z0-9_-]{1,64}`."""
    if not isinstance(file_id, str) or not FILE_ID.fullmatch(file_id):
        raise _no_file_id()
    return file_id


def _no_file_id() -> Unprocessable:
    return invalid("file_id", "1 to 64 of A-Z a-z 0-9 _ -")


def read_digest(name: str, value: Any) -> dict[str, bytes]:
    """`sha-256=:base64:` of RFC 9530, hashlib name -> raw digest.

    :raises Malformed: it can't be read, or has no algorithm that we compute.
    """
    if not isinstance(value, str):
        raise Malformed(f"{name} isn't a digest", code="malformed_header")
    found: dict[str, bytes] = {}
    for item in value.split(","):
        match = _DIGEST.fullmatch(item.strip())
        if match is None:
            raise Malformed(f"{name} isn't of the form sha-256=:base64:", code="malformed_header")
        if match[1] in DIGEST_ALGORITHMS:
            try:
                found[DIGEST_ALGORITHMS[match[1]]] = base64.b64decode(match[2], validate=True)
            except binascii.Error:
                raise Malformed(f"{name} isn't base64", code="malformed_header") from None
    if not found:
        raise Malformed(f"{name} has neither sha-256 nor sha-512", code="checksum_algorithm_unknown")
    return found


def _is_birth_date(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}", text):
        return False
    try:
        born = date.fromisoformat(text)
    except ValueError:
        return False
    return date(1900, 1, 1) < born < date(2100, 1, 1)  # the limits are written where nobody knows
