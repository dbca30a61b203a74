"""The files of one upload: as pieces for several connections, and each piece sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from gateway.client.access import UploadAccess
from gateway.client.errors import Refused, SendFault, Unreadable
from gateway.client.http import GatewayHttp
from gateway.client.meter import Meter
from gateway.client.parts import BroughtByAnother, PartedFile, Piece, Span, spans_of
from gateway.client.retry import RetryPolicy
from gateway.client.scan import LeftOut, LocalFile
from gateway.client.scouts import Scouts
from gateway.client.state import Entry, StateFile
from gateway.client.tusfile import Pace, TusFile, open_file
from gateway.clock import Clock


class FileSender:
    """Sends pieces of one upload. For all threads.

    :param on_all_there: is told when every byte of the pieces is there, and all that is missing is that parts are joined.
    """

    def __init__(
        self,
        http: GatewayHttp,
        state: StateFile,
        meter: Meter,
        clock: Clock,
        pace: Pace,
        *,
        entry: Entry,
        access: UploadAccess,
        retry: RetryPolicy,
        scouts: Scouts,
        on_all_there: Callable[[], None] = lambda: None,
    ) -> None:
        self._http = http
        self._state = state
        self._meter = meter
        self._clock = clock
        self._pace = pace
        self._entry = entry
        self._access = access
        self._retry = retry
        self._scouts = scouts
        self._on_all_there = on_all_there
        self._lock = threading.Lock()
        self._underway = 0  # pieces of which bytes are missing

    def pieces(self, files: Sequence[LocalFile]) -> list[Piece]:
        """What has to be sent of an upload's files, in their order: as parts, if the gateway joins them.

        :param files: all of them, those that are there too.
        """
        later_bytes = total_bytes = sum(file.size_bytes for file in files)
        parted: list[tuple[LocalFile, list[Span]]] = []
        for file in files:
            later_bytes -= file.size_bytes
            if self._state.file_key(file) not in self._entry.done:
                parted.append((file, spans_of(file.size_bytes, later_bytes, total_bytes)))
        several = any(len(spans) > 1 for _, spans in parted)
        if several and self._scouts.joins_parts(self._retry, self._entry.tus_url):
            pieces = [piece for file, spans in parted for piece in self._pieces_of(file, spans)]
        else:
            pieces = [Piece(file) for file, _ in parted]
        self._underway = len(pieces)
        return pieces

    def _pieces_of(self, file: LocalFile, spans: Sequence[Span]) -> Iterator[Piece]:
        if len(spans) < 2:
            yield Piece(file)
            return
        key = self._state.file_key(file)
        parted = PartedFile(file, spans, lambda gone: self._meter.at(key, gone))
        for number in range(len(spans)):
            yield Piece(file, parted, number)

    def send(self, piece: Piece) -> LeftOut | None:
        """It, to its end; why its file is left out, if it has to be and nobody has said so yet.

        :raises BroughtByAnother: it goes twice, and this one doesn't count.
        :raises SendFault: nothing of the upload can be sent.
        """
        parted = piece.parted
        if parted is not None and parted.left_out:
            return None
        try:
            if parted is None:
                self._send_whole(piece.file)
                self._one_less()
            else:
                self._send_part(parted, piece.number, again=piece.again)
        except Unreadable:
            reason = LeftOut.UNREADABLE
        except Refused as refusal:
            if refusal.code != "file_too_large":
                raise
            reason = LeftOut.TOO_LARGE
        else:
            return None
        return reason if parted is None or parted.leave_out() else None

    def _send_whole(self, file: LocalFile) -> None:
        key = self._state.file_key(file)
        with open_file(file) as stream:
            file_id = self._state.file_id(self._entry, file)
            self._tus(file, stream, file_id, lambda offset: self._meter.at(key, offset)).upload()
        self._finished(file)

    def _send_part(self, parted: PartedFile, number: int, *, again: bool) -> None:
        """A part; whoever brings the last one has them joined."""
        file = parted.file
        with open_file(file) as stream:
            span = parted.spans[number]
            part_id = self._state.part_id(self._entry, file, span, again=again)
            part = self._tus(file, stream, part_id, lambda offset: parted.at(number, offset), span)
            try:
                part.upload()
            except SendFault:
                if again:  # the first one is still at it, and says what is the matter
                    raise BroughtByAnother from None
                raise
            parts = parted.arrived(number, part.location)
            if parts is None:
                raise BroughtByAnother
            self._one_less()
            if parts:
                self._join(file, stream, parts)

    def _one_less(self) -> None:
        with self._lock:
            self._underway -= 1
            is_last = self._underway == 0
        if is_last:
            self._on_all_there()

    def _join(self, file: LocalFile, stream: BinaryIO, parts: Sequence[str]) -> None:
        try:
            self._tus(file, stream, self._state.file_id(self._entry, file), lambda _: None).join(parts)
        except Refused as refusal:
            if refusal.code != "other_dialect":
                raise
            self._send_whole(file)  # a former run has begun it as a whole: it goes on like that
        else:
            self._finished(file)

    def _tus(
        self,
        file: LocalFile,
        stream: BinaryIO,
        file_id: str,
        on_offset: Callable[[int], None],
        span: Span | None = None,
    ) -> TusFile:
        return TusFile(
            file,
            stream,
            http=self._http,
            access=self._access,
            retry=self._retry,
            clock=self._clock,
            pace=self._pace,
            tus_url=self._entry.tus_url,
            file_id=file_id,
            on_offset=on_offset,
            span=span,
        )

    def _finished(self, file: LocalFile) -> None:
        self._meter.done(self._state.file_key(file), file.size_bytes)
        self._state.mark_done(self._entry, file)
