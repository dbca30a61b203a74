"""Command sets (PS3.7 section 6.3 and annex E): what a message asks for, or answers. Pure.

Always in Implicit VR Little Endian, never nested, small.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum


class NotDimse(Exception):
    """The peer's bytes aren't a command set, or lack what this message must have."""


class CommandField(IntEnum):
    """Command Field (0000,0100)."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RQ = 0x0100
    N_EVENT_REPORT_RSP = 0x8100
    N_ACTION_RQ = 0x0130
    N_ACTION_RSP = 0x8130


class Tag(IntEnum):
    """Elements of group 0000, by their number."""

    GROUP_LENGTH = 0x0000
    AFFECTED_SOP_CLASS_UID = 0x0002
    REQUESTED_SOP_CLASS_UID = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_RESPONDED_TO = 0x0120
    PRIORITY = 0x0700
    DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    REQUESTED_SOP_INSTANCE_UID = 0x1001
    EVENT_TYPE_ID = 0x1002
    ACTION_TYPE_ID = 0x1008


#: Command Data Set Type (0000,0800): none follows; any other value: one does.
NO_DATA_SET, DATA_SET = 0x0101, 0x0001
MAX_COMMAND_BYTES = 1 << 16


def encoded(values: Mapping[Tag, int | str]) -> bytes:
    """A command set of numbers (US) and UIDs, with its length in front."""
    body = b"".join(_element(tag, values[tag]) for tag in sorted(values))
    return struct.pack("<HHII", 0, Tag.GROUP_LENGTH, 4, len(body)) + body


def _element(tag: Tag, value: int | str) -> bytes:
    raw = struct.pack("<H", value) if isinstance(value, int) else value.encode("ascii")
    raw += b"\0" * (len(raw) % 2)
    return struct.pack("<HHI", 0, tag, len(raw)) + raw


class Command:
    """A command set as it came. :raises NotDimse: it isn't one."""

    def __init__(self, raw: bytes) -> None:
        self._values: dict[int, bytes] = {}
        at = 0
        while at < len(raw):
            if at + 8 > len(raw):
                raise NotDimse
            group, number, length = struct.unpack_from("<HHI", raw, at)
            at += 8
            if group != 0 or at + length > len(raw):
                raise NotDimse
            self._values[number] = raw[at : at + length]
            at += length

    def number(self, tag: Tag) -> int:
        """:raises NotDimse: it isn't there, or is no US."""
        raw = self._values.get(tag, b"")
        if len(raw) != 2:
            raise NotDimse
        return int.from_bytes(raw, "little")

    def uid(self, tag: Tag) -> str:
        """Empty: it isn't there."""
        return self._values.get(tag, b"").decode("ascii", "replace").strip("\0 ")

    @property
    def field(self) -> int:
        """Command Field (0000,0100)."""
        return self.number(Tag.COMMAND_FIELD)

    @property
    def has_data_set(self) -> bool:
        """A data set follows."""
        return self.number(Tag.DATA_SET_TYPE) != NO_DATA_SET
