"""A PACS that speaks DIMSE: C-STORE to store, C-FIND (Study Root) to look where it answers that, C-ECHO to try.

Promises: an instance's data set goes out byte for byte, in the transfer syntax that it has; only what is really in a batch
is negotiated; an answer counts for the instance that it names; a request is tried once, retries belong to the caller.
Synchronous and safe to use from several threads. Must not know storage or uploads.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hooks.contract import (
    Commitment,
    CommitmentRefused,
    Comparison,
    Instance,
    LookupRefused,
    Outcome,
    OutcomeKind,
    PatientRecord,
    Source,
    SourceBroke,
    TargetDown,
    TargetError,
)
from hooks.targets.data_set_digest import NotDicom, data_set_start
from hooks.targets.dimse import identifier
from hooks.targets.dimse.association import MAX_CONTEXTS, PIECE_BYTES, Association, Message
from hooks.targets.dimse.associations import Associations
from hooks.targets.dimse.command import DATA_SET, NO_DATA_SET, Command, CommandField, NotDimse, Tag
from hooks.targets.dimse.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_ACTION,
    answer_to_report,
    question,
)
from hooks.targets.dimse.status import BUSY, PENDING, SUCCESS, outcome_of, refused_context
from hooks.targets.dimse.wire import Peer
from hooks.targets.qido import SOP_INSTANCE_UID, TAGS, distinct, text
from hooks.targets.transactions import Report, Transactions

VERIFICATION = "1.2.840.10008.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT_LE = "1.2.840.10008.1.2"
#: Deflated data sets, of which one of odd length has a byte of 0 behind it (PS3.5 section A.5). Of any other one of odd
#: length no fragment could be made: each is even (PS3.8 annex E.1), and a peer aborts the association over it.
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
#: Priority (0000,0700), PS3.7 section 9.3.1.1.
PRIORITIES = {"routine": 0, "urgent": 1, "stat": 1}
#: More patients under one number than this, and nobody can tell.
MAX_MATCHES = 1000
#: More than any series has.
MAX_INSTANCES = 1_000_000
#: So long the association that asked for commitment is kept for a report.
REPORT_AT_ONCE_S = 3.0
_HEAD_BYTES = 1 << 16

#: Keys of a study that are asked for, by tag.
_STUDY_KEYS = (
    0x00080050, 0x00080051, 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040, 0x00101000, 0x0020000D,
)  # fmt: skip


class DimseTarget:
    """Implements `Target` and `Committing`.

    :param associations: at once, at most; fewer where the PACS takes no more.
    :param commitment: it shall commit to what it has: `probe` asks whether it would.
    """

    reports = True

    def __init__(self, peer: Peer, *, associations: int = 4, commitment: bool = False) -> None:
        self._peer = peer
        self._asks_commitment = commitment
        self._transactions = Transactions()
        self._associations = Associations(peer, associations)

    # -- C-STORE

    def deliver(self, batch: Sequence[Instance], stop: Callable[[], bool]) -> dict[str, Outcome]:
        if len({instance.sop_instance_uid for instance in batch}) != len(batch):
            raise ValueError("a SOPInstanceUID is in the batch twice")
        starts = {instance.instance_id: _start(instance) for instance in batch}
        pairs = [(one.sop_class_uid, starts[one.instance_id][0]) for one in batch]
        proposed = list(dict.fromkeys(pairs))[:MAX_CONTEXTS]
        outcomes: dict[str, Outcome] = {}
        try:
            with self._associations.opened(proposed) as association:
                for instance, pair in zip(batch, pairs, strict=True):
                    if pair in association.accepted:
                        start = starts[instance.instance_id][1]
                        outcomes[instance.instance_id] = self._store(association, pair, instance, start, stop)
                    elif pair in association.refused:
                        outcomes[instance.instance_id] = refused_context(association.refused[pair])
        except (TargetError, SourceBroke):
            # What was answered is told; the rest is asked for again, and says by itself what is wrong.
            if not outcomes:
                raise
        return {one.instance_id: outcomes.get(one.instance_id, Outcome(OutcomeKind.UNKNOWN)) for one in batch}

    def _store(
        self,
        association: Association,
        pair: tuple[str, str],
        instance: Instance,
        start: int,
        stop: Callable[[], bool],
    ) -> Outcome:
        values: dict[Tag, int | str] = {
            Tag.COMMAND_FIELD: CommandField.C_STORE_RQ,
            Tag.AFFECTED_SOP_CLASS_UID: instance.sop_class_uid,
            Tag.AFFECTED_SOP_INSTANCE_UID: instance.sop_instance_uid,
            Tag.PRIORITY: PRIORITIES.get(instance.priority, 0),
            Tag.DATA_SET_TYPE: DATA_SET,
        }
        size_bytes = instance.size_bytes - start
        padding_bytes = size_bytes % 2
        if padding_bytes and pair[1] not in DEFLATED:
            return Outcome(OutcomeKind.FAILED)
        with _opened(instance) as source:

            def read(offset: int, size: int) -> bytes:
                wanted = min(size, size_bytes - offset)
                piece = source.read_at(start + offset, wanted)
                if len(piece) != wanted:
                    raise SourceBroke(instance.instance_id)
                return piece.ljust(size, b"\0")

            source.read_at(0, start)  # whoever watches the whole is shown the whole
            association.ask_with(association.accepted[pair], values, read, size_bytes + padding_bytes, stop)
        within_s = max(self._peer.answer_timeout_s, instance.size_bytes / PIECE_BYTES)
        command = association.answer(CommandField.C_STORE_RSP, within_s).command
        if command.uid(Tag.AFFECTED_SOP_INSTANCE_UID) not in {"", instance.sop_instance_uid}:
            return Outcome(OutcomeKind.UNKNOWN)
        return outcome_of(_status(command))

    # -- C-FIND

    def present(self, study_instance_uid: str, series_instance_uids: Iterable[str]) -> dict[str, str]:
        return self._present(study_instance_uid, [(series, "") for series in series_instance_uids])

    def present_of(self, study_instance_uid: str, instances: Mapping[str, str]) -> dict[str, str]:
        return self._present(study_instance_uid, [(series, uid) for uid, series in instances.items()])

    def _present(self, study_instance_uid: str, asked: Iterable[tuple[str, str]]) -> dict[str, str]:
        """:param asked: series, and an instance of it; empty: all."""
        found: dict[str, str] = {}
        with self._finding() as find:
            studies = find("STUDY", {0x0020000D: study_instance_uid, 0x00100020: ""}, MAX_MATCHES)
            whose = {text(one, "00100020") for one in studies}
            if not studies:
                return {}
            patient_id = whose.pop() if len(whose) == 1 else ""
            for series, uid in asked:
                keys = {0x0020000D: study_instance_uid, 0x0020000E: series, 0x00080018: uid}
                records = find("IMAGE", keys, MAX_INSTANCES)
                found |= {text(one, SOP_INSTANCE_UID): patient_id for one in records}
        found.pop("", None)
        return found

    def shows(self, sop_instance_uid: str) -> bool:  # noqa: ARG002 - what every target is asked by
        # PS3.4 section C.4.1.2.1: without study and series that is a relational query, which few archives answer.
        raise LookupRefused("no_relational_queries")

    def patients(
        self, *, patient_id: str = "", accession_number: str = "", study_instance_uid: str = ""
    ) -> list[PatientRecord]:
        asked = {
            "PatientID": patient_id.strip(),
            "AccessionNumber": accession_number.strip(),
            "StudyInstanceUID": study_instance_uid,
        }
        wanted = {keyword: value for keyword, value in asked.items() if value}
        if not wanted:
            raise ValueError("neither a PatientID nor an accession number nor a study to ask for")
        with self._finding() as find:
            keys = dict.fromkeys(_STUDY_KEYS, "") | {int(TAGS[keyword], 16): value for keyword, value in wanted.items()}
            return distinct(find("STUDY", keys, MAX_MATCHES), wanted)

    @contextlib.contextmanager
    def _finding(self) -> Iterator[Callable[[str, Mapping[int, str], int], list[dict[str, Any]]]]:
        """Asks one question after the other. :raises LookupRefused: there are no queries here."""
        pair = (STUDY_ROOT_FIND, IMPLICIT_LE)
        with self._associations.opened([pair]) as association:
            if pair not in association.accepted:
                raise LookupRefused("no_queries")

            def find(level: str, keys: Mapping[int, str], most: int) -> list[dict[str, Any]]:
                return self._find(association, association.accepted[pair], identifier.encoded(keys, level), most)

            yield find

    def _find(self, association: Association, context_id: int, keys: bytes, most: int) -> list[dict[str, Any]]:
        values: dict[Tag, int | str] = {
            Tag.COMMAND_FIELD: CommandField.C_FIND_RQ,
            Tag.AFFECTED_SOP_CLASS_UID: STUDY_ROOT_FIND,
            Tag.PRIORITY: 0,
            Tag.DATA_SET_TYPE: DATA_SET,
        }
        association.ask(context_id, values, keys)
        records: list[dict[str, Any]] = []
        ends_at = time.monotonic() + 10 * self._peer.answer_timeout_s
        while True:
            message = association.answer(CommandField.C_FIND_RSP, self._peer.answer_timeout_s)
            status = _status(message.command)
            if status == SUCCESS:
                return records
            if status in BUSY:
                raise TargetDown(f"status_{status:04X}")
            if status not in PENDING:
                raise LookupRefused(f"status_{status:04X}")
            try:
                records.append(identifier.record_of(message.data_set))
            except NotDimse:
                raise TargetDown("not_dimse") from None
            if len(records) > most or time.monotonic() > ends_at:
                # In the middle of its answers: only an abort ends them.
                association.abort()
                raise LookupRefused("too_many_matches") if len(records) > most else TargetDown("query_never_ends")

    def compare(self, instance: Instance) -> Comparison:  # noqa: ARG002 - what every target is asked by
        return Comparison.UNAVAILABLE  # C-GET and C-MOVE give data sets in the archive's own encoding, if at all

    # -- storage commitment

    def ask_commitment(self, transaction_uid: str, instances: Mapping[str, str]) -> float:
        pair = (PUSH_MODEL, IMPLICIT_LE)
        values: dict[Tag, int | str] = {
            Tag.COMMAND_FIELD: CommandField.N_ACTION_RQ,
            Tag.REQUESTED_SOP_CLASS_UID: PUSH_MODEL,
            Tag.REQUESTED_SOP_INSTANCE_UID: PUSH_MODEL_INSTANCE,
            Tag.ACTION_TYPE_ID: REQUEST_ACTION,
            Tag.DATA_SET_TYPE: DATA_SET,
        }
        with self._associations.opened([pair]) as association:
            if pair not in association.accepted:
                raise CommitmentRefused("no_commitment")
            self._transactions.expect(transaction_uid)  # before it is asked: the report may be quicker than the answer
            association.ask(association.accepted[pair], values, question(transaction_uid, instances))
            self._await_answer(association)
            self._await_report(association, transaction_uid)
        return 0.0

    def fetch_commitment(self, transaction_uid: str) -> float:  # noqa: ARG002 - what every committing target is asked by
        return 0.0  # it reports

    def _await_answer(self, association: Association) -> None:
        while True:
            message = association.message(self._peer.answer_timeout_s)
            if _field(message.command) == CommandField.N_EVENT_REPORT_RQ:
                self._take_report(association, message)
                continue
            if _field(message.command) != CommandField.N_ACTION_RSP:
                raise TargetDown("not_dimse")
            status = _status(message.command)
            if status != SUCCESS:
                raise CommitmentRefused(f"status_{status:04X}")
            return

    def _await_report(self, association: Association, transaction_uid: str) -> None:
        """For a moment: some answer on the association that asked, others on one of their own."""
        ends_at = time.monotonic() + REPORT_AT_ONCE_S
        while self._transactions.of(transaction_uid) is None and time.monotonic() < ends_at:
            try:
                if association.is_silent(0.1):
                    continue
                message = association.message(self._peer.answer_timeout_s)
                if _field(message.command) != CommandField.N_EVENT_REPORT_RQ:
                    raise TargetDown("not_dimse")
                self._take_report(association, message)
            except TargetDown:
                return  # it was asked; the report may still come by itself

    def _take_report(self, association: Association, message: Message) -> None:
        try:
            association.reply(message, answer_to_report(message, self.arrived))
        except NotDimse:
            raise TargetDown("not_dimse") from None

    def arrived(self, report: Report) -> bool:
        """Take a report that came in whatever way. False: it isn't for this PACS."""
        return self._transactions.arrived(report.transaction_uid, report.commitment)

    def awaits(self, transaction_uid: str) -> bool:
        return self._transactions.is_awaited(transaction_uid)

    def commitment(self, transaction_uid: str) -> Commitment | None:
        return self._transactions.of(transaction_uid)

    def forget(self, transaction_uid: str) -> None:
        self._transactions.forget(transaction_uid)

    # -- C-ECHO

    def probe(self) -> str:
        pairs = [(VERIFICATION, IMPLICIT_LE), (STUDY_ROOT_FIND, IMPLICIT_LE)]
        if self._asks_commitment:
            pairs.append((PUSH_MODEL, IMPLICIT_LE))
        with self._associations.opened(pairs) as association:
            if pairs[0] in association.accepted:
                values: dict[Tag, int | str] = {
                    Tag.COMMAND_FIELD: CommandField.C_ECHO_RQ,
                    Tag.AFFECTED_SOP_CLASS_UID: VERIFICATION,
                    Tag.DATA_SET_TYPE: NO_DATA_SET,
                }
                association.ask(association.accepted[pairs[0]], values)
                status = _status(association.answer(CommandField.C_ECHO_RSP, self._peer.answer_timeout_s).command)
                if status != SUCCESS:
                    raise TargetDown(f"status_{status:04X}")
        if pairs[-1] not in association.accepted and self._asks_commitment:
            raise CommitmentRefused("no_commitment")
        commits = ", and takes requests for storage commitment" if self._asks_commitment else ""
        if pairs[1] not in association.accepted:
            asked = "it can't be asked (no C-FIND): whose a study is isn't checked, nor what arrived"
            return f"it answers C-ECHO{commits}; {asked}"
        self.patients(study_instance_uid=f"2.25.{uuid.uuid4().int}")
        return f"it answers C-ECHO and the queries of a delivery (C-FIND){commits}"

    def close(self) -> None:
        """Associations end with the call that opened them."""


def _field(command: Command) -> int:
    try:
        return command.field
    except NotDimse:
        raise TargetDown("not_dimse") from None


def _status(command: Command) -> int:
    try:
        return command.number(Tag.STATUS)
    except NotDimse:
        raise TargetDown("not_dimse") from None


@contextlib.contextmanager
def _opened(instance: Instance) -> Iterator[Source]:
    source = instance.open()
    try:
        if source.size_bytes != instance.size_bytes:
            raise SourceBroke(instance.instance_id)
        yield source
    finally:
        source.close()


def _start(instance: Instance) -> tuple[str, int]:
    """Transfer syntax, and where the data set begins. What its source raises is passed on."""
    with _opened(instance) as source:

        def pieces() -> Iterator[bytes]:
            for offset in range(0, instance.size_bytes, _HEAD_BYTES):
                yield source.read_at(offset, min(_HEAD_BYTES, instance.size_bytes - offset))

        try:
            return data_set_start(pieces())
        except NotDicom:
            raise SourceBroke(instance.instance_id) from None
