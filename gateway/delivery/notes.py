"""Clinical notes into the studies that they are about (endpoint `notes = "sr"`).

The document is a file of its upload like the others, only that the gateway made it: its row holds its bytes, sealed, and
from there on it is looked for, sent, verified, retried, receipted and erased as they are. It is made when instances of
its study are in the PACS, so that no study comes to be of notes alone. Its id and its UIDs follow from upload and study:
whoever makes it again makes the same.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gateway import __version__
from gateway.delivery.attempt import Attempt, Superseded
from gateway.delivery.items import Item, Judgement, Ruling, item_of, open_list, seal_judgement, without_instance
from gateway.delivery.receipt import IN_PACS, warning
from gateway.delivery.threads import in_thread
from gateway.keys.columns import Column
from gateway.ledger.base import Transaction
from gateway.ledger.rows import Dialect, FileRow
from gateway.states import FileResult, FileState
from hooks.contract import Facts
from hooks.note_sr import Note, Received, names_its_patient, note_sr, readable

log = logging.getLogger("relaypacs.delivery")


@dataclass(frozen=True, slots=True)
class _Made:
    """A document as it goes into the ledger."""

    row: FileRow
    wrapped: bytes


async def add_notes(attempt: Attempt) -> bool:
    """Make a document for each study of which the PACS has something, unless it is made already.

    :returns: whether there are any new ones, to be sent.
    :raises Superseded: the upload was stopped in between.
    """
    if not attempt.endpoint.config.takes_notes or not _notes(attempt):
        return False
    documented = {_study_of(item) for item in attempt.items if item.made_by}
    studies = sorted(_studies_in_pacs(attempt) - documented)
    made = await in_thread(lambda: list(_all_made(attempt, studies)))
    if not made:
        return False

    def act(tx: Transaction) -> list[FileRow] | None:
        if attempt.mine(tx) is None:
            return None
        return [_insert(tx, attempt, one) for one in made]

    rows = await attempt.tools.ledger.write(act)
    if rows is None:
        raise Superseded
    attempt.items += [item_of(row, attempt.key, attempt.tools.keys) for row in rows]
    log.info("notes_made upload=%s studies=%d", attempt.upload.upload_id, len(rows))
    return True


async def withdraw_notes(attempt: Attempt) -> None:
    """The endpoint takes no notes any more: what was made of them and isn't in the PACS stays here."""
    if attempt.endpoint.config.takes_notes:
        return
    made = [item for item in attempt.items if item.made_by and item.pending]
    await attempt.record([(item, item.became(FileResult.FAILED, code="notes_not_delivered")) for item in made])


def undelivered(attempt: Attempt) -> list[dict[str, str]]:
    """A warning for each study that is in the PACS without the notes on it; one, if no study is there."""
    if attempt.endpoint.config.tells_notes or not _notes(attempt):
        return []
    outcomes = {_study_of(item): item.outcome for item in attempt.items if item.made_by and item.outcome is not None}
    warnings = []
    for study in sorted(_studies_in_pacs(attempt)) or [""]:
        outcome = outcomes.get(study)
        if outcome is None:
            warnings.append(warning("notes_not_stored"))
        elif outcome.outcome not in IN_PACS:
            uid, reason = outcome.sop_instance_uid, outcome.reason
            warnings.append(warning("notes_not_stored", sop_instance_uid=uid, reason=reason))
    return warnings


def _notes(attempt: Attempt) -> str:
    return readable(str(attempt.declared().get("clinical_notes") or ""))


def _sent(items: Iterable[Item]) -> list[Item]:
    """What the client sent."""
    return [item for item in items if not item.made_by]


def _in_pacs(item: Item) -> bool:
    return item.outcome is not None and (item.outcome.outcome in IN_PACS or item.acknowledged)


def _study_of(item: Item) -> str:
    if item.outcome is not None and item.outcome.study_instance_uid:
        return item.outcome.study_instance_uid
    return item.study_instance_uid if item.judgement is not None and item.judgement.facts is not None else ""


def _studies_in_pacs(attempt: Attempt) -> set[str]:
    return {_study_of(item) for item in _sent(attempt.items) if _in_pacs(item)}


def _all_made(attempt: Attempt, studies: Sequence[str]) -> Iterable[_Made]:
    received = _received(attempt)
    for study in studies:
        facts = _facts_of(attempt, study)
        if facts is None or not names_its_patient(facts):
            log.warning("notes_without_patient upload=%s", attempt.upload.upload_id)
            continue
        yield _made(attempt, facts, received)


def _facts_of(attempt: Attempt, study: str) -> Facts | None:
    """What most of the study's instances say of patient and study; None: their facts are erased."""
    known = (item.judgement.facts for item in _sent(attempt.items) if item.judgement is not None)
    said = Counter(
        without_instance(facts) for facts in known if facts is not None and facts.study_instance_uid == study
    )
    return said.most_common(1)[0][0] if said else None


def _received(attempt: Attempt) -> Received:
    upload, records = attempt.upload, attempt.tools.keys.records
    passed = [item for item in _sent(attempt.items) if item.state is not FileState.SKIPPED and _fit(item)]
    return Received(
        declared=upload.total_files,
        whole=upload.whole_files,
        skipped=len(open_list(records, upload.skipped_sealed, Column.UPLOAD_SKIPPED, upload.upload_id)),
        withheld=max(upload.whole_files - len(passed), 0),
        studies=len({_study_of(item) for item in passed}),
    )


def _fit(item: Item) -> bool:
    """It passed the check; the facts of what is in the PACS may be erased."""
    return _in_pacs(item) or (item.judgement is not None and item.judgement.facts is not None)


def _made(attempt: Attempt, study: Facts, received: Received) -> _Made:
    upload, key, declared = attempt.upload, attempt.key, attempt.declared()
    now = attempt.tools.clock.now()
    note = Note(
        upload_id=upload.upload_id,
        study=study,
        clinical_notes=_notes(attempt),
        priority=str((declared.get("study_metadata") or {}).get("priority") or ""),
        uploader=declared.get("uploader") or {},
        received=received,
        sent_at=upload.completed_at or upload.created_at,
        version=__version__,
    )
    content = note_sr(note)
    judgement = Judgement(hashlib.sha256(content).hexdigest(), Ruling.ACCEPT, facts=note.facts())
    about = "|".join(filter(None, (study.study_instance_uid, attempt.way.endpoint_id)))
    file_id = key.mac("note", about.encode())[:16].hex()
    file_key, wrapped = key.new_file_key(file_id)
    row = FileRow(
        file_id=file_id,
        upload_id=upload.upload_id,
        dialect=Dialect.GATEWAY,
        state=FileState.QUEUED,
        client_mac=None,
        client_id_sealed=None,
        meta_sealed=None,
        key_id=None,
        length=len(content),
        offset=len(content),
        total_chunks=None,
        chunks=0,
        highest_chunk=-1,
        sealed_bytes=0,
        facts_sealed=seal_judgement(key, file_id, judgement),
        outcome_sealed=None,
        created_at=now,
        whole_at=now,
        bytes_sealed=file_key.whole().seal(content, context=Column.FILE_BYTES.of(file_id)),
    )
    return _Made(row, wrapped)


def _insert(tx: Transaction, attempt: Attempt, made: _Made) -> FileRow:
    row = replace(made.row, key_id=tx.keys.insert(made.wrapped))
    tx.files.insert(row)
    attempt.way.save_file(tx, row)
    return row
