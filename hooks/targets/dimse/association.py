"""One association with a PACS (PS3.8), in the thread that uses it.

Promises: what is sent is read from its source piece by piece and is never held whole: whoever sends waits for the line,
and nothing queues; nothing waits longer than its time, however slowly the peer trickles; what the peer sends is limited;
no text of the peer comes out, only codes.

pynetdicom's own associations aren't used: they queue without bound, send with neither a time limit nor TCP_NODELAY, and
read data sets from clear files.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hooks.contract import Stopped, TargetDown
from hooks.targets.dimse.command import MAX_COMMAND_BYTES, NO_DATA_SET, Command, NotDimse, Tag, encoded
from hooks.targets.dimse.negotiation import accepted, rejection, request
from hooks.targets.dimse.wire import ABORT, AC, P_DATA, RELEASE_RP, RELEASE_RQ, RJ, Peer, Wire

#: Contexts have odd numbers up to 255 (PS3.8 section 9.3.2.2).
MAX_CONTEXTS = 128
PIECE_BYTES = 1 << 20
#: Of a P-DATA-TF that we send, where the peer takes any length.
MAX_SENT_PDU_BYTES = 1 << 17
MAX_ANSWER_BYTES = 1 << 22

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the peer's."""

    context_id: int
    command: Command
    data_set: bytes


class Association:
    """As its requestor. For one thread.

    :ivar accepted: (abstract syntax, transfer syntax) -> number of the context.
    :ivar refused: (abstract syntax, transfer syntax) -> the peer's result, 1 to 4 (PS3.8 table 9-18).
    """

    def __init__(self, wire: Wire, peer: Peer, proposed: Sequence[tuple[str, str]]) -> None:
        self._wire = wire
        self._peer = peer
        self._pdu_bytes = MAX_SENT_PDU_BYTES
        self._messages = 0
        self.accepted: dict[tuple[str, str], int] = {}
        self.refused: dict[tuple[str, str], int] = {}
        self._negotiate(proposed)

    # -- the beginning and the end

    def _negotiate(self, proposed: Sequence[tuple[str, str]]) -> None:
        numbers = {2 * place + 1: pair for place, pair in enumerate(proposed)}
        self._wire.send(request(self._peer, numbers))
        kind, body = self._wire.receive(time.monotonic() + self._peer.answer_timeout_s)
        raw = struct.pack(">BxI", kind, len(body)) + body
        if kind == RJ:
            raise rejection(raw)
        if kind != AC:
            raise TargetDown("association_aborted" if kind == ABORT else "not_dimse")
        results, most = accepted(raw)
        if most:
            self._pdu_bytes = min(most, MAX_SENT_PDU_BYTES)
        if self._pdu_bytes < 8:
            raise TargetDown("not_dimse")
        for number, result, syntaxes in results:
            pair = numbers.get(number)
            if pair is None:
                continue
            if result == 0 and syntaxes == [pair[1]]:
                self.accepted[pair] = number
            else:
                self.refused[pair] = result or 4

    def release(self) -> None:
        """In good order, as far as the peer goes along."""
        try:
            self._wire.send(struct.pack(">BxI4x", RELEASE_RQ, 4))
            until = time.monotonic() + min(self._peer.answer_timeout_s, 10.0)
            while self._wire.receive(until)[0] not in {RELEASE_RP, ABORT}:
                pass
        except TargetDown:
            pass  # all that was to be said is said
        self._wire.close()

    def abort(self) -> None:
        """At once (PS3.8 section 9.3.8, by the service user)."""
        with contextlib.suppress(TargetDown):
            self._wire.send(struct.pack(">BxI4x", ABORT, 4))
        self._wire.close()

    # -- messages

    def ask(self, context_id: int, values: Mapping[Tag, int | str], data_set: bytes = b"") -> None:
        """Send a request that is held whole; its number is put in."""
        self.ask_with(context_id, values, lambda offset, size: data_set[offset : offset + size], len(data_set))

    def ask_with(
        self,
        context_id: int,
        values: Mapping[Tag, int | str],
        read: Read,
        size_bytes: int,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        """Send a request with a data set of `size_bytes` that `read` gives; 0: without one.

        What `read` raises is passed on; the association can only be aborted then.

        :param stop: asked before each MiB.
        :raises Stopped: it said so.
        """
        self._messages = self._messages % 0xFFFF + 1
        self._fragments(context_id, encoded({**values, Tag.MESSAGE_ID: self._messages}), command=True, last=True)
        for offset in range(0, size_bytes, PIECE_BYTES):
            if stop is not None and stop():
                raise Stopped
            piece = read(offset, min(PIECE_BYTES, size_bytes - offset))
            self._fragments(context_id, piece, command=False, last=offset + PIECE_BYTES >= size_bytes)

    def _fragments(self, context_id: int, content: bytes, *, command: bool, last: bool) -> None:
        self._wire.send(*fragments(context_id, content, self._pdu_bytes, command=command, last=last))

    def reply(self, message: Message, values: Mapping[Tag, int | str]) -> None:
        """Answer a request of the peer's, without a data set."""
        mine = {Tag.MESSAGE_ID_RESPONDED_TO: message.command.number(Tag.MESSAGE_ID), Tag.DATA_SET_TYPE: NO_DATA_SET}
        self._fragments(message.context_id, encoded({**values, **mine}), command=True, last=True)

    def is_silent(self, for_s: float) -> bool:
        """The peer says nothing within that time."""
        return self._wire.is_silent(for_s)

    def answer(self, field_: int, within_s: float) -> Message:
        """The next message, which answers the last one of ours.

        :raises TargetDown: timed_out, connection_lost, association_aborted, not_dimse.
        """
        message = self.message(within_s)
        try:
            fits = (message.command.field, message.command.number(Tag.MESSAGE_ID_RESPONDED_TO))
        except NotDimse:
            fits = (0, 0)
        if fits != (field_, self._messages):
            raise TargetDown("not_dimse")
        return message

    def message(self, within_s: float) -> Message:
        """The next message, whatever it is. :raises TargetDown: as `answer`."""
        until = time.monotonic() + within_s
        reader = MessageReader()
        while True:
            kind, body = self._wire.receive(until)
            if kind == ABORT:
                raise TargetDown("association_aborted")
            if kind != P_DATA:
                raise TargetDown("association_released" if kind == RELEASE_RQ else "not_dimse")
            message = reader.take(body)
            if message is not None:
                return message


def fragments(
    context_id: int, content: bytes, most_bytes: int, *, command: bool, last: bool
) -> Iterator[bytes | memoryview]:
    """Presentation data values, each in a P-DATA-TF of its own, of at most `most_bytes`, and even (PS3.8 annex E)."""
    view, room = memoryview(content), (most_bytes - 6) // 2 * 2
    for at in range(0, len(view), room):
        fragment = view[at : at + room]
        flags = command | (last and at + room >= len(view)) << 1
        yield struct.pack(">BxIIBB", P_DATA, len(fragment) + 6, len(fragment) + 2, context_id, flags)
        yield fragment


class MessageReader:
    """Puts one message together from P-DATA-TF bodies (PS3.8 annex E.2)."""

    def __init__(self) -> None:
        self._command = bytearray()
        self._data_set = bytearray()
        self._known: Command | None = None

    def take(self, body: bytes) -> Message | None:
        """None: there is more to come. :raises TargetDown: not_dimse."""
        try:
            return self._take(body)
        except (NotDimse, struct.error, IndexError):
            raise TargetDown("not_dimse") from None

    def _take(self, body: bytes) -> Message | None:
        at = 0
        while at < len(body):
            length, context_id, flags = struct.unpack_from(">IBB", body, at)
            fragment = body[at + 6 : at + 4 + length]
            if length < 2 or len(fragment) != length - 2:
                raise NotDimse
            at += 4 + length
            if flags & 1:
                self._command += fragment
                if len(self._command) > MAX_COMMAND_BYTES:
                    raise NotDimse
            else:
                self._data_set += fragment
                if len(self._data_set) > MAX_ANSWER_BYTES:
                    raise NotDimse
            if not flags & 2:
                continue
            if flags & 1:
                self._known = Command(bytes(self._command))
                if self._known.has_data_set:
                    continue
            if self._known is None or at != len(body):
                raise NotDimse
            return Message(context_id, self._known, bytes(self._data_set))
        return None
