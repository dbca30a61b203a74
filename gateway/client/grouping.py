"""Sorts what was found into plans: one patient, one upload. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.client.scan import LocalFile


@dataclass(frozen=True, slots=True)
class PlannedUpload:
    """The files of one patient. `metadata` is the init call's `study_metadata`: what all its files agree on."""

    files: tuple[LocalFile, ...] = field(repr=False)
    metadata: dict[str, str] = field(repr=False)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def group(found: Iterable[LocalFile]) -> list[PlannedUpload]:
    """One plan per patient: PatientID, its issuer and the birth date; the order of the files is kept.

    Files without a PatientID go by name and birth date, files without that by study: two strangers who both have no
    ID are not one patient.
    """
    patients: dict[tuple[str, ...], list[LocalFile]] = {}
    for file in found:
        patients.setdefault(_patient(file), []).append(file)
    return [PlannedUpload(tuple(files), _agreed(files)) for files in patients.values()]


def _patient(file: LocalFile) -> tuple[str, ...]:
    facts = file.metadata
    if facts.get("patient_id"):
        return ("id", facts["patient_id"], file.issuer_of_patient_id, facts.get("patient_birth_date", ""))
    if facts.get("patient_name"):
        return ("name", facts["patient_name"], facts.get("patient_birth_date", ""))
    return ("study", facts.get("study_instance_uid", ""))


def _agreed(files: list[LocalFile]) -> dict[str, str]:
    agreed: dict[str, str] = {}
    for key in files[0].metadata:
        values = {file.metadata[key] for file in files} - {""}
        if len(values) == 1:
            agreed[key] = values.pop()
    return agreed
