"""What a check said of a file, sealed for the file's row."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from gateway.delivery.items import FileOutcome, Judgement, Ruling, seal_judgement, seal_outcome
from gateway.ledger.rows import FileRow, replace
from gateway.spool import Fresh, ServiceKeys, UploadKey
from gateway.states import FileResult, FileState
from hooks.contract import Accept, Reject, Verdict

log = logging.getLogger("relaypacs.delivery")

_ENDED = {Ruling.REJECT: FileState.REJECTED, Ruling.SKIP: FileState.SKIPPED}


@dataclass(frozen=True, slots=True)
class SealedVerdict:
    """A judgement, and what is written down of it."""

    judgement: Judgement
    facts_sealed: bytes
    outcome_sealed: bytes | None

    def on(self, file: FileRow) -> FileRow:
        """The whole file with it."""
        state = _ENDED.get(self.judgement.verdict, file.state)
        return replace(file, state=state, facts_sealed=self.facts_sealed, outcome_sealed=self.outcome_sealed)


def judgement_of(verdict: Verdict, sha256: str) -> Judgement:
    """:param sha256: of the file, hex."""
    if isinstance(verdict, Accept):
        return Judgement(sha256, Ruling.ACCEPT, warnings=verdict.warnings, facts=verdict.facts)
    return Judgement(sha256, Ruling.REJECT if isinstance(verdict, Reject) else Ruling.SKIP, verdict.code)


def sealed(
    keys: ServiceKeys, key: UploadKey, file_id: str, judgement: Judgement, fresh: Fresh | None = None
) -> SealedVerdict:
    """:param key: of the file's upload.
    :param fresh: of the act.
    """
    outcome = _outcome(judgement)
    return SealedVerdict(
        judgement,
        seal_judgement(key, file_id, judgement, fresh),
        None if outcome is None else seal_outcome(keys, file_id, outcome, fresh),
    )


def tell(upload_id: str, file_id: str, judgement: Judgement | None) -> None:
    """A line of the log, after it was written down. None: the file's bytes are damaged."""
    verdict, code = ("lost", "data_lost") if judgement is None else (judgement.verdict, judgement.code)
    log.info("file_checked upload=%s file=%s verdict=%s code=%s", upload_id, file_id, verdict, code or "-")


def _outcome(judgement: Judgement) -> FileOutcome | None:
    if judgement.verdict is Ruling.ACCEPT:
        return None
    outcome = FileResult.REJECTED if judgement.verdict is Ruling.REJECT else FileResult.SKIPPED
    return FileOutcome(outcome, sha256=judgement.sha256, code=judgement.code)
