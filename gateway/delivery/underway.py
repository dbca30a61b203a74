"""Whose uploads are on their way to an endpoint, for the PACS can't tell yet: of two that contradict each other and are
delivered at one time, the later one waits for a person as if the first had arrived.

In memory only: after a restart every upload of which nothing was sent yet is looked at anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.delivery.identity import Known
from hooks.contract import Facts, PatientRecord


@dataclass(frozen=True, slots=True)
class Before:
    """An upload that was there earlier, and what of it the PACS would tell."""

    upload_id: str
    known: Known


#: What an upload is found by: an attribute of its facts, and the value.
_Key = tuple[str, str]
_ATTRIBUTES = ("patient_id", "accession_number", "study_instance_uid")


@dataclass(slots=True)
class UnderWay:
    """The uploads of one endpoint, in the order in which they came; found by PatientID, accession number and study."""

    _uploads: dict[_Key, dict[str, None]] = field(default_factory=dict)
    _facts: dict[str, tuple[Facts, ...]] = field(default_factory=dict)

    def enter(self, upload_id: str, instances: Iterable[Facts]) -> list[Before]:
        """From now on the upload is under way. What came before it and has a PatientID, an accession number or a study
        of its own.

        Before the PACS is asked: what is no longer under way by then is in the PACS, or isn't going there.
        """
        facts = tuple(dict.fromkeys((*self._facts.get(upload_id, ()), *instances)))
        self._facts[upload_id] = facts
        before: dict[str, None] = {}
        for key in _keys(facts):
            uploads = self._uploads.setdefault(key, {})
            for one in uploads:
                if one == upload_id:
                    break
                before[one] = None
            uploads.setdefault(upload_id)
        return [Before(one, self._known(one, facts)) for one in before]

    def leave(self, upload_id: str) -> None:
        """It has come to its end, or waits for a person."""
        for key in _keys(self._facts.pop(upload_id, ())):
            there = self._uploads.get(key, {})
            there.pop(upload_id, None)
            if not there:
                self._uploads.pop(key, None)

    def _known(self, upload_id: str, facts: tuple[Facts, ...]) -> Known:
        """What the PACS would answer to the questions about `facts`."""
        asked = set(_keys(facts))
        theirs = self._facts[upload_id]
        by_id, by_number, by_study = (
            tuple(_record(one) for one in theirs if (name, getattr(one, name).strip()) in asked) for name in _ATTRIBUTES
        )
        return Known(by_id, by_number, by_study)


def _keys(facts: Iterable[Facts]) -> dict[_Key, None]:
    keys = ((name, getattr(one, name).strip()) for one in facts for name in _ATTRIBUTES)
    return dict.fromkeys(key for key in keys if key[1])


def _record(facts: Facts) -> PatientRecord:
    return PatientRecord(
        facts.patient_id,
        facts.patient_name,
        facts.patient_birth_date,
        facts.patient_sex,
        facts.issuer_of_patient_id,
        facts.other_patient_ids,
        facts.accession_number,
        facts.issuer_of_accession_number,
        facts.study_instance_uid,
    )
