"""What a status of a response (0000,0900) says of an instance (PS3.4 table B.2-1, PS3.7 annex C). Data and one function."""

from __future__ import annotations

from hooks.contract import Outcome, OutcomeKind
from hooks.targets.reasons import kind_of

SUCCESS = 0x0000
#: Of a C-FIND: a match follows, with all keys or some of them not supported.
PENDING = frozenset({0xFF00, 0xFF01})
#: The archive can't look just now (PS3.4 table C.4-1: out of resources).
BUSY = frozenset({0xA700, 0xA701, 0x0213})
#: Warnings of PS3.7 annex C beside those of the storage class, Bxxx.
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})

#: Why a context isn't accepted (PS3.8 table 9-18), as the reason that PS3.18 has for it.
ABSTRACT_SYNTAX_REFUSED = 3
SOP_CLASS_NOT_SUPPORTED, TRANSFER_SYNTAX_NOT_SUPPORTED = 0x0122, 0xC122


def outcome_of(status: int) -> Outcome:
    """Of a C-STORE-RSP."""
    if status == SUCCESS:
        return Outcome(OutcomeKind.STORED)
    if status in _WARNINGS or 0xB000 <= status <= 0xBFFF:
        return Outcome(OutcomeKind.STORED, warning=status)
    return Outcome(kind_of(status), reason=status)


def refused_context(result: int) -> Outcome:
    """Of an instance for which there is no context. :param result: of the negotiation."""
    reason = SOP_CLASS_NOT_SUPPORTED if result == ABSTRACT_SYNTAX_REFUSED else TRANSFER_SYNTAX_NOT_SUPPORTED
    return Outcome(OutcomeKind.FAILED, reason=reason)
