"""A whole run: every plan opened, sent, completed and waited for.

Promises: one patient's trouble doesn't keep another's files from being sent; what is known at the end of each step
is in the state file. Prints outcomes on `out`, all else on `err`.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from gateway.client import uploads
from gateway.client.access import Sender, UploadAccess
from gateway.client.ahead import CompleteAhead
from gateway.client.crew import Crew, Traffic
from gateway.client.errors import (
    FileChanged,
    NotAllowed,
    Refused,
    SendFault,
    TryAgain,
    Unreadable,
    UploadGone,
    plain,
)
from gateway.client.files import FileSender
from gateway.client.grouping import PlannedUpload
from gateway.client.http import GatewayHttp
from gateway.client.meter import Display, Meter
from gateway.client.opening import Opener
from gateway.client.outcome import PlanInProgress, Reporter, exit_status
from gateway.client.retry import RetryPolicy
from gateway.client.scan import LeftOut
from gateway.client.scouts import Scouts
from gateway.client.state import Entry, StateFile
from gateway.client.tusfile import Pace
from gateway.client.uploads import UploadStatus
from gateway.client.width import Width
from gateway.clock import Clock

_RECEIVING_STATES = frozenset({"open", "uploading"})
_LONGEST_POLL_S = 15.0
#: Requests at once; the first are for a gateway of which nothing is known.
_LEAST_AT_ONCE, _FIRST_AT_ONCE, _MOST_AT_ONCE = 2, 8, 16
#: A round trip that the first number is for.
_NEAR_S = 0.3
_RECEIPT_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may choose about a run. `receipts`: the folder that signed receipts are written into.
    `at_once`: requests at once; None: as many as help.
    """

    endpoint_id: str | None = None
    at_once: int | None = None
    chunk_bytes: int | None = None
    wait_s: float = 3600.0
    wait_for_held: bool = False
    patience_s: float = 600.0
    quiet: bool = False
    verbose: bool = False
    receipts: Path | None = None


class SendRun:
    """One call of `relaypacs send`."""

    def __init__(
        self,
        http: GatewayHttp,
        state: StateFile,
        sender: Sender,
        clock: Clock,
        options: Options,
        out: TextIO,
        err: TextIO,
        *,
        width: Width,
        scouts: Scouts,
    ) -> None:
        self._http = http
        self._state = state
        self._sender = sender
        self._clock = clock
        self._options = options
        self._out = out
        self._err = err
        self._pace = Pace(options.chunk_bytes)
        self._width = width
        self._scouts = scouts
        self._meter = Meter(0, 0, clock)
        self._display = Display(self._meter, err, quiet=True)
        self._stop = threading.Event()
        self._opener = Opener(http, state, sender, clock, options.endpoint_id, self._say)

    def open_ahead(self, plan: PlannedUpload) -> None:
        """The upload of what is likely to be sent first: while it isn't known yet what the gateway takes."""
        self._opener.open_ahead(plan, self._retry(threading.Event()))

    def cancel_others(self, plans: Sequence[PlannedUpload]) -> None:
        """What was opened ahead and isn't to be sent like that."""
        self._opener.cancel_others(plans)

    def _say(self, words: str) -> None:
        self._display.say(words)

    def send(self, plans: Sequence[PlannedUpload], contact: str = "") -> int:
        """Send all, wait for all, say what became of each.

        :param contact: whom to ask about held uploads.
        :returns: the exit status.
        :raises KeyboardInterrupt: the user's; what was sent is remembered.
        """
        sendings = [PlanInProgress(plan, self._opener.set_key(plan)) for plan in plans]
        self._meter = Meter(sum(plan.size_bytes for plan in plans), sum(len(plan.files) for plan in plans), self._clock)
        try:
            with Display(self._meter, self._err, quiet=self._options.quiet) as self._display:
                self._send_all(sendings)
            self._await_outcomes(sendings, self._reporter(contact))
        finally:
            self._stop.set()
            if self._options.at_once is None:
                self._state.keep_width(self._http.base_url, self._width.kept)
            self._state.save()
        return exit_status(sendings)

    def _reporter(self, contact: str) -> Reporter:
        return Reporter(
            lambda words: print(words, file=self._out, flush=True),
            lambda words: print(words, file=self._err, flush=True),
            contact=contact,
            verbose=self._options.verbose,
        )

    def _retry(self, stop: threading.Event) -> RetryPolicy:
        def tell(words: str) -> None:
            if not self._options.quiet:
                self._display.say(words)

        return RetryPolicy(self._options.patience_s, self._clock, stop, tell=tell)

    def _send_all(self, sendings: list[PlanInProgress]) -> None:
        for sending in sendings:
            try:
                self._ship(sending, is_last=sending is sendings[-1])
            except SendFault as fault:
                sending.fault = fault
                if not isinstance(fault, Refused | FileChanged | Unreadable) or isinstance(fault, NotAllowed):
                    return  # the others would fare no better

    def _ship(self, sending: PlanInProgress, *, is_last: bool) -> None:
        retry = self._retry(threading.Event())
        try:
            opened = self._opener.open(sending.plan, retry)
            entry, access = opened.entry, opened.access
            sending.access = access
            standing = retry.persist(lambda: uploads.status(self._http, access)) if opened.resumed else None
            if standing is None or standing.state in _RECEIVING_STATES:
                wait_s = min(30.0, self._options.wait_s) if is_last else 0.0
                ahead = CompleteAhead(lambda: uploads.complete(self._http, access, wait_s))

                def all_there() -> None:
                    ahead.begin()
                    if is_last:
                        self._leave_beside()

                try:
                    self._send_files(sending, entry, access, retry, all_there)
                except SendFault:
                    # Of a joining whose answer was lost, perhaps, and that was too late when it was tried again.
                    if ahead.standing() is None and not (ahead.begun and self._is_completed(access, retry)):
                        raise
                standing = ahead.standing() or self._complete(sending, entry, access, retry, wait_s)
            else:
                for file in sending.plan.files:
                    self._meter.done(self._state.file_key(file), file.size_bytes, before=True)
                    if self._state.file_key(file) not in entry.done:  # the run that completed it went without it
                        sending.left_out.append((file, LeftOut.UNREADABLE))
            sending.standing = standing
        except UploadGone as fault:
            self._state.drop(sending.set_key)
            raise UploadGone(f"{fault}: run it again to send all of it anew", status=fault.status) from None
        except (FileChanged, Unreadable):
            if sending.access is not None:
                with contextlib.suppress(SendFault, TryAgain):  # it can never be whole now, and would expire by itself
                    uploads.cancel(self._http, sending.access)
            self._state.drop(sending.set_key)
            raise

    def _is_completed(self, access: UploadAccess, retry: RetryPolicy) -> bool:
        """Whether the gateway has taken `complete` though nobody heard it say so."""
        try:
            standing = retry.persist(lambda: uploads.status(self._http, access))
        except SendFault:
            return False
        return standing.state not in _RECEIVING_STATES

    def _leave_beside(self) -> None:
        """Nothing more is opened: the session ends while the gateway and the PACS do the rest."""

        def leave() -> None:
            with contextlib.suppress(SendFault, TryAgain):  # the end of the run says it again
                self._sender.leave()

        threading.Thread(target=leave, name="leave", daemon=True).start()

    def _send_files(
        self,
        sending: PlanInProgress,
        entry: Entry,
        access: UploadAccess,
        retry: RetryPolicy,
        on_all_there: Callable[[], None] = lambda: None,
    ) -> None:
        """Several at once; the first fault ends it, but for what is one file's alone: that file is left out.

        :param on_all_there: see `FileSender`.
        :raises Unreadable: none of the files can be read.
        """
        sending.left_out.clear()
        sending.names = {self._state.file_id(entry, file): file.path for file in sending.plan.files}
        files = sending.plan.files
        for file in files:
            if self._state.file_key(file) in entry.done:
                self._meter.done(self._state.file_key(file), file.size_bytes, before=True)
        own = self._retry(threading.Event())  # who is still at something that others have done ends with it
        sender = FileSender(
            self._http,
            self._state,
            self._meter,
            self._clock,
            self._pace,
            entry=entry,
            access=access,
            retry=own,
            scouts=self._scouts,
            on_all_there=on_all_there,
        )
        pieces = sender.pieces(files)
        try:
            trip_s = self._http.round_trip_s()
            with Crew(pieces, sender.send, self._width, self._traffic, own.stop, self._clock, trip_s) as outcomes:
                for piece, reason in outcomes:
                    if reason is not None:
                        sending.left_out.append((piece.file, reason))
                        self._display.say(f"not sent: {plain(piece.file.path)}: {reason}")
        finally:
            self._state.save()
        retry.moved()
        if len(sending.left_out) == len(files):
            raise Unreadable("none of its files can be sent")

    def _traffic(self) -> Traffic:
        acknowledged_bytes = self._http.acknowledged_bytes()
        return Traffic(
            self._meter.moved_bytes if acknowledged_bytes is None else acknowledged_bytes,
            self._http.refused,
            full=self._http.is_full(),
            empty=self._http.is_empty(),
        )

    def _complete(
        self, sending: PlanInProgress, entry: Entry, access: UploadAccess, retry: RetryPolicy, wait_s: float
    ) -> UploadStatus:
        def once() -> UploadStatus:
            skipped = [
                uploads.LeftOutFile(self._state.file_id(entry, file), reason.name.lower())
                for file, reason in sending.left_out
            ]
            return uploads.complete(self._http, access, wait_s, skipped)

        try:
            return retry.persist(once)
        except Refused as refusal:
            if refusal.code != "incomplete" or not entry.done:
                raise
        # What a former run knew to be there isn't: ask for each file anew, once.
        entry.done.clear()
        self._send_files(sending, entry, access, retry)
        return retry.persist(once)

    def _await_outcomes(self, sendings: Sequence[PlanInProgress], reporter: Reporter) -> None:
        """Ask until all is over, or until the user's waiting time is; say of each what became of it, when it is known.

        Held ones are waited for only if the user said so: a person decides, and nobody knows when.
        """
        began = self._clock.monotonic()
        retry = self._retry(self._stop)
        waiting = dict(enumerate(sendings, 1))
        while True:
            for number, sending in list(waiting.items()):
                if sending.settled:
                    if sending.standing is not None:
                        self._keep_receipt(sending, retry)
                        self._state.drop(sending.set_key)
                    reporter.report(f"upload {number} of {len(sendings)}", waiting.pop(number))
            waited_s = self._clock.monotonic() - began
            if not waiting or waited_s >= self._options.wait_s:
                break
            if not self._options.wait_for_held and all(sending.held for sending in waiting.values()):
                break
            pause_s = max(min(_LONGEST_POLL_S, waited_s / 10), *(one.retry_after_s for one in waiting.values()))
            self._stop.wait(min(pause_s, self._options.wait_s - waited_s))
            for sending in waiting.values():
                self._ask(sending, retry)
        for number, sending in waiting.items():
            reporter.report(f"upload {number} of {len(sendings)}", sending)

    def _keep_receipt(self, sending: PlanInProgress, retry: RetryPolicy) -> None:
        """Into the user's folder, before the upload is forgotten here."""
        access, standing, folder = sending.access, sending.standing, self._options.receipts
        if folder is None or access is None or standing is None:
            return
        wanted = {one.receipt_id: one.endpoint_id for one in standing.several} or {standing.receipt_id: ""}
        try:
            for receipt_id, endpoint_id in wanted.items():
                if not _RECEIPT_ID.fullmatch(receipt_id):
                    continue
                receipt = retry.persist(partial(uploads.receipt, self._http, access, endpoint_id))
                path, flags = folder / f"{receipt_id}.jws", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
                with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                    file.write(receipt + b"\n")
        except (OSError, SendFault) as fault:
            why = fault.strerror if isinstance(fault, OSError) else str(fault)
            sending.receipt_fault = f"its receipt can't be kept ({why}): get it from the gateway"

    def _ask(self, sending: PlanInProgress, retry: RetryPolicy) -> None:
        access = sending.access
        if access is None:
            return
        try:
            sending.standing = retry.persist(lambda: uploads.status(self._http, access))
        except SendFault as fault:
            sending.fault = fault
            if not isinstance(fault, UploadGone):
                sending.standing = None  # its end is still to be learnt


def first_at_once(options: Options, last: int | None, http: GatewayHttp) -> int:
    """How many requests at once there are to be with this gateway at first: what was right last time; else more where it is
    far, because a connection comes up to speed by round trips.
    """
    known = options.at_once or last
    return known or min(_MOST_AT_ONCE, max(_FIRST_AT_ONCE, int(_FIRST_AT_ONCE * http.round_trip_s() / _NEAR_S)))


def width_for(options: Options, last: int | None, http: GatewayHttp) -> Width:
    """How many there are to be from then on."""
    first = first_at_once(options, last, http)
    if options.at_once is not None:
        return Width(first, first, first)
    return Width(_LEAST_AT_ONCE, _MOST_AT_ONCE, first)
