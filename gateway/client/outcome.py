"""What became of a run: said to its user, and as an exit status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.client.access import UploadAccess
from gateway.client.errors import (
    EXIT_FAILED,
    EXIT_HELD,
    EXIT_OTHER,
    EXIT_PARTIAL,
    EXIT_SUCCESS,
    Refused,
    SendFault,
    plain,
)
from gateway.client.grouping import PlannedUpload
from gateway.client.scan import LeftOut, LocalFile
from gateway.client.uploads import UploadStatus


@dataclass(slots=True)
class PlanInProgress:
    """A plan and what became of it so far. `left_out`: those of its files that didn't go."""

    plan: PlannedUpload
    set_key: str
    access: UploadAccess | None = None
    standing: UploadStatus | None = None
    fault: SendFault | None = field(default=None, repr=False)
    left_out: list[tuple[LocalFile, LeftOut]] = field(default_factory=list, repr=False)
    receipt_fault: str = ""
    names: dict[str, Path] = field(default_factory=dict, repr=False)  #: by the ids that the gateway knows files by

    @property
    def settled(self) -> bool:
        """Waiting makes no difference."""
        return self.fault is not None or self.standing is None or self.standing.final

    @property
    def held(self) -> bool:
        """It waits for a person at the gateway."""
        return self.fault is None and self.standing is not None and self.standing.held

    @property
    def retry_after_s(self) -> float:
        """When to ask again."""
        return self.standing.retry_after_s if self.standing is not None else 0.0


class Reporter:
    """Says of each upload what became of it: outcomes on `out`, all else on `err`.

    :param contact: whom to ask about held uploads; empty: the gateway doesn't tell.
    :param verbose: with the paths of files that the gateway has words about.
    """

    def __init__(
        self, out: Callable[[str], object], err: Callable[[str], object], *, contact: str, verbose: bool
    ) -> None:
        self._out = out
        self._err = err
        self._contact = contact
        self._verbose = verbose

    def report(self, name: str, sending: PlanInProgress) -> None:
        """:param name: like `upload 1 of 2`."""
        if sending.fault is not None:
            self._err(f"relaypacs send: {name}: {sending.fault}")
            return
        standing = sending.standing
        if standing is None:
            self._err(f"relaypacs send: {name}: not sent yet; run it again")
            return
        files = len(sending.plan.files) - len(sending.left_out)
        what = f"{files} file{'' if files == 1 else 's'}"
        if standing.final:
            receipt = f", receipt {standing.receipt_id}" if standing.receipt_id else ""
            self._out(f"{name}: {standing.state}{receipt}, {what}")
            self._say_several(standing)
            if sending.receipt_fault:
                self._err(f"relaypacs send: {name}: {sending.receipt_fault}")
        elif standing.held:
            self._out(f"{name}: held, {what} at the gateway, none of them lost: a person there has to decide")
            self._say_held(sending, standing)
        else:
            self._out(f"{name}: {standing.state}, {what} at the gateway; run it again to learn the outcome")
            self._say_several(standing)
        self._say_warnings(sending, standing)

    def _say_several(self, standing: UploadStatus) -> None:
        for one in standing.several:
            receipt = f", receipt {one.receipt_id}" if one.receipt_id else ""
            self._out(f"  {one.endpoint_id}: {one.state}{receipt}")

    def _say_held(self, sending: PlanInProgress, standing: UploadStatus) -> None:
        upload_id = sending.access.upload_id if sending.access is not None else ""
        self._out(f"  upload: {upload_id}")
        self._out(f"  reason: {', '.join(standing.held_for) or 'not told'}")
        self._out(f"  contact: {self._contact or 'those who run the gateway'}")

    def _say_warnings(self, sending: PlanInProgress, standing: UploadStatus) -> None:
        said = (self._words(sending, one.words, one.file_id) for one in standing.warnings)
        for words, times in Counter(said).items():
            self._out(f"  warning: {words}{f', {times} times' if times > 1 else ''}")

    def _words(self, sending: PlanInProgress, words: str, file_id: str) -> str:
        path = sending.names.get(file_id) if self._verbose else None
        return words if path is None else f"{words}: {plain(path)}"


def exit_status(sendings: Sequence[PlanInProgress]) -> int:
    """0: all success; 3: some of it, or some files left out; 4: none; 5: only held ones are left; else what stopped it."""
    for sending in sendings:
        fault = sending.fault
        if fault is not None and (not isinstance(fault, Refused) or fault.exit_status != EXIT_FAILED):
            return fault.exit_status
    states = [_state(one) for one in sendings]
    if "" in states:
        return EXIT_OTHER
    if all(state == "failed" for state in states):
        return EXIT_FAILED
    if any(one.left_out or one.receipt_fault for one in sendings) or not set(states) <= {"success", "held"}:
        return EXIT_PARTIAL
    return EXIT_HELD if "held" in states else EXIT_SUCCESS


def _state(sending: PlanInProgress) -> str:
    """`success`, `partial`, `failed`, `held`; empty: not known yet."""
    standing = sending.standing
    if sending.fault is not None:
        return "failed"
    if standing is None or not (standing.final or standing.held):
        return ""
    return standing.state
