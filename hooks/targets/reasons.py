"""What archives mean by the reasons for which they refuse an instance, (0008,1197). Data only.

A code that isn't here is a refusal for good.
"""

from __future__ import annotations

from dataclasses import dataclass

from hooks.contract import OutcomeKind


@dataclass(frozen=True, slots=True)
class FailureReason:
    """A code, or the codes up to `last`."""

    first: int
    last: int
    kind: OutcomeKind
    meaning: str
    source: str


REASONS = (
    FailureReason(0x0110, 0x0110, OutcomeKind.DOUBTFUL, "processing failure", "PS3.7 annex C; Azure, Google, dcm4chee for whatever failed"),
    FailureReason(0x0111, 0x0111, OutcomeKind.DUPLICATE, "duplicate SOP instance", "PS3.7 annex C"),
    FailureReason(0x0213, 0x0213, OutcomeKind.BUSY, "resource limitation", "PS3.7 annex C"),
    # Of the range "out of resources" dcm4chee uses these for refusals that no waiting mends.
    FailureReason(0xA770, 0xA779, OutcomeKind.FAILED, "rejected before, or a conflicting patient", "dcm4chee-arc-light, StoreService"),
    FailureReason(0xA700, 0xA7FF, OutcomeKind.BUSY, "out of resources", "PS3.4 table B.2-1 and annex GG.4"),
    FailureReason(0xB00E, 0xB00E, OutcomeKind.DUPLICATE, "45070: has been stored already", "Azure DICOM service, conformance statement"),
    FailureReason(0xB00F, 0xB00F, OutcomeKind.BUSY, "45071: is being created by another process", "Azure DICOM service, conformance statement"),
)  # fmt: skip

#: Warning reason (0008,1196) with which an archive says that it has changed attributes (PS3.4 table B.2-1).
COERCED = 0xB000


def kind_of(reason: int | None) -> OutcomeKind:
    """What a refusal with this reason is."""
    found = (one.kind for one in REASONS if reason is not None and one.first <= reason <= one.last)
    return next(found, OutcomeKind.FAILED)
