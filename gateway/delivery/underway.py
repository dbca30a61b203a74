"""Whose uploads are on their way to an endpoint, for the PACS can't tell yet: of two that contradict each other and are
delivered at one time, the later one waits for a person as if the first had arrived.

In memory only: after a restart every upload of which nothing was sent yet is looked at anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hooks.contract import Facts, PatientRecord


@dataclass(frozen=True, slots=True)
class Before:
    """An upload that was there earlier, and what of it the PACS would tell: see `hold_reasons`."""

    upload_id: str
    by_patient_id: tuple[PatientRecord, ...]
    by_accession_number: tuple[PatientRecord, ...]


@dataclass(slots=True)
class UnderWay:
    """The uploads of one endpoint, in the order in which they came; found by PatientID and by accession number."""

    _by_patient_id: dict[str, dict[str, None]] = field(default_factory=dict)
    _by_accession_number: dict[str, dict[str, None]] = field(default_factory=dict)
    _facts: dict[str, tuple[Facts, ...]] = field(default_factory=dict)

    def enter(self, upload_id: str, instances: Iterable[Facts]) -> list[Before]:
        """From now on the upload is under way. What came before it and has a PatientID or accession number of its own.

        Before the PACS is asked: what is no longer under way by then is in the PACS, or isn't going there.
        """
        facts = self._facts.setdefault(upload_id, tuple(instances))
        before: dict[str, None] = {}
        for key, of in _keys(facts, self._by_patient_id, self._by_accession_number):
            for one in of.setdefault(key, {}):
                if one == upload_id:
                    break
                before[one] = None
            of[key].setdefault(upload_id)
        return [self._told(one, facts) for one in before]

    def leave(self, upload_id: str) -> None:
        """It has come to its end, or waits for a person."""
        for key, of in _keys(self._facts.pop(upload_id, ()), self._by_patient_id, self._by_accession_number):
            there = of.get(key, {})
            there.pop(upload_id, None)
            if not there:
                of.pop(key, None)

    def _told(self, upload_id: str, facts: tuple[Facts, ...]) -> Before:
        patient_ids = {one.patient_id.strip() for one in facts} - {""}
        numbers = {one.accession_number.strip() for one in facts} - {""}
        theirs = self._facts[upload_id]
        return Before(
            upload_id,
            tuple(_record(one) for one in theirs if one.patient_id.strip() in patient_ids),
            tuple(_record(one) for one in theirs if one.accession_number.strip() in numbers),
        )


def _keys(
    facts: Iterable[Facts], by_patient_id: dict[str, dict[str, None]], by_accession_number: dict[str, dict[str, None]]
) -> list[tuple[str, dict[str, dict[str, None]]]]:
    found = [(one.patient_id.strip(), by_patient_id) for one in facts]
    found += [(one.accession_number.strip(), by_accession_number) for one in facts]
    return [(key, of) for key, of in found if key]


def _record(facts: Facts) -> PatientRecord:
    return PatientRecord(facts.patient_id, facts.patient_name, facts.patient_birth_date)
