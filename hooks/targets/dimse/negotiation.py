"""The negotiation of an association (PS3.8 section 7.1): what is proposed, and what a rejection means.

pynetdicom encodes and decodes it.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from hooks.contract import TargetDown, TargetMisconfigured
from hooks.targets.dimse.wire import Peer

#: DICOM's own name for what is negotiated (PS3.7 annex A.2.1).
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
#: Of this software (PS3.7 annex D.3.3.2); made from a random UUID.
IMPLEMENTATION_CLASS_UID = "2.25.484775128720236634531172104856193898"
IMPLEMENTATION_VERSION_NAME = "RELAYPACS"
#: What we say that we take, and what is read at most.
MAX_RECEIVED_PDU_BYTES = 1 << 16
#: What decoding may raise of bytes that aren't a PDU.
UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, struct.error)

logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)


def request(peer: Peer, numbers: Mapping[int, tuple[str, str]]) -> bytes:
    """An A-ASSOCIATE-RQ. :param numbers: of a context -> its abstract and its one transfer syntax."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT
    primitive.calling_ae_title = peer.calling_aet
    primitive.called_ae_title = peer.called_aet
    primitive.user_information = list(our_part())
    contexts = []
    for number, (abstract_syntax, transfer_syntax) in numbers.items():
        context = build_context(abstract_syntax, transfer_syntax)
        context.context_id = number
        contexts.append(context)
    primitive.presentation_context_definition_list = contexts
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


def accepted(raw: bytes) -> tuple[list[tuple[int, int, list[str]]], int]:
    """Number, result and transfer syntaxes of each context; the longest PDU that the peer takes, 0: any.

    :param raw: an A-ASSOCIATE-AC.
    :raises TargetDown: not_dimse.
    """
    try:
        pdu = A_ASSOCIATE_AC()
        pdu.decode(raw)
        answer = pdu.to_primitive()
        results = [
            (one.context_id or 0, 4 if one.result is None else one.result, [str(uid) for uid in one.transfer_syntax])
            for one in answer.presentation_context_definition_results_list
        ]
        lengths = (one for one in answer.user_information if isinstance(one, MaximumLengthNotification))
        return results, next((one.maximum_length_received for one in lengths), 0)
    except UNREADABLE:
        raise TargetDown("not_dimse") from None


def our_part() -> tuple[
    MaximumLengthNotification, ImplementationClassUIDNotification, ImplementationVersionNameNotification
]:
    """What we say of ourselves (PS3.7 annex D.3.3)."""
    length, class_uid = MaximumLengthNotification(), ImplementationClassUIDNotification()
    version = ImplementationVersionNameNotification()
    length.maximum_length_received = MAX_RECEIVED_PDU_BYTES
    class_uid.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return length, class_uid, version


#: Source and reason of a rejection (PS3.8 table 9-21) that a person has to mend.
_REASONS = {
    (1, 2): "association_rejected_application_context",
    (1, 3): "association_rejected_calling_aet",
    (1, 7): "association_rejected_called_aet",
    (2, 2): "association_rejected_protocol_version",
}


def rejection(raw: bytes) -> TargetDown | TargetMisconfigured:
    """The error that an A-ASSOCIATE-RJ stands for."""
    try:
        pdu = A_ASSOCIATE_RJ()
        pdu.decode(raw)
        result, source, reason = pdu.result or 0, pdu.source or 0, pdu.reason_diagnostic or 0
    except UNREADABLE:
        return TargetDown("not_dimse")
    if source == 3:
        return TargetDown("association_limit")  # congestion, or as many as it takes: it passes
    if result == 2 and (source, reason) not in _REASONS:
        return TargetDown("association_rejected")
    return TargetMisconfigured(_REASONS.get((source, reason), "association_rejected"))
