"""Takes reports of storage commitment on associations that a PACS makes (PS3.4 section J.3.3), and answers C-ECHO.

Promises: nothing but these is accepted; who connects holds one of a few threads for a limited time, and little memory; a
report of a transaction that nobody asked for is refused. A transaction's UID is random: nobody can report who wasn't asked.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import build_context, negotiate_as_acceptor

from hooks.contract import TargetDown
from hooks.targets.dimse.association import Message, MessageReader, fragments
from hooks.targets.dimse.command import NO_DATA_SET, CommandField, NotDimse, Tag, encoded
from hooks.targets.dimse.commitment import PUSH_MODEL, answer_to_report
from hooks.targets.dimse.negotiation import UNREADABLE, our_part
from hooks.targets.dimse.target import IMPLICIT_LE, VERIFICATION
from hooks.targets.dimse.wire import ABORT, P_DATA, RELEASE_RP, RELEASE_RQ, RQ, Wire
from hooks.targets.transactions import Report

log = logging.getLogger("relaypacs.dimse")

#: Associations at once; more are closed.
MOST_AT_ONCE = 16
#: How long a peer may take from one message to the next, and how long it may stay.
IDLE_S, LONGEST_S = 30.0, 300.0
_PDU_BYTES = 16384
#: PS3.8 table 9-21: permanent, by the service user.
_NO_REASON, _CALLED_AET = 1, 7


class ReportListener:
    """Listens from its making until `close`.

    :param aet: whom a peer has to call.
    :param arrived: takes a report; False: nobody waits for it.
    :param tls: None: in the clear.
    :raises OSError: the address can't be listened on.
    """

    def __init__(
        self, host: str, port: int, aet: str, arrived: Callable[[Report], bool], tls: ssl.SSLContext | None = None
    ) -> None:
        self._aet = aet
        self._arrived = arrived
        self._tls = tls
        self._seats = threading.BoundedSemaphore(MOST_AT_ONCE)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family)
        self._thread = threading.Thread(target=self._accept, name="dimse-listener", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Take no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5.0)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except ConnectionError:
                continue
            except OSError:
                return  # closed
            if not self._seats.acquire(blocking=False):
                sock.close()
                continue
            threading.Thread(target=self._serve, args=(sock,), name="dimse-report", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock.settimeout(IDLE_S)
                sock = encrypted = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                encrypted.do_handshake()
            self._associated(Wire(sock))
        except ssl.SSLError as error:
            log.info("report_association_refused code=tls_failed reason=%s", error.reason or "unknown")
        except (TargetDown, OSError):
            pass  # the peer's business: it reports again, or is asked again
        finally:
            with contextlib.suppress(OSError):
                sock.close()
            self._seats.release()

    def _associated(self, wire: Wire) -> None:
        kind, body = wire.receive(time.monotonic() + IDLE_S)
        if kind != RQ:
            return
        request = _read(kind, body)
        if request is None or (request.called_ae_title or "").strip() != self._aet:
            reason = _NO_REASON if request is None else _CALLED_AET
            wire.send(struct.pack(">BxIxBBB", 3, 4, 1, 1, reason))
            return
        accepted, answer = _accepted(request)
        wire.send(answer)
        ends_at = time.monotonic() + LONGEST_S
        reader = MessageReader()
        while True:
            kind, body = wire.receive(min(time.monotonic() + IDLE_S, ends_at))
            if kind == RELEASE_RQ:
                wire.send(struct.pack(">BxI4x", RELEASE_RP, 4))
                return
            if kind != P_DATA:
                return
            message = reader.take(body)
            if message is None:
                continue
            reader = MessageReader()
            try:
                self._answer(wire, message, accepted.get(message.context_id, ""))
            except NotDimse:
                wire.send(struct.pack(">BxI4x", ABORT, 4))
                return

    def _answer(self, wire: Wire, message: Message, abstract_syntax: str) -> None:
        """:raises NotDimse: it isn't what may be said here."""
        asked = (abstract_syntax, message.command.field)
        if asked == (VERIFICATION, CommandField.C_ECHO_RQ):
            values: dict[Tag, int | str] = {Tag.COMMAND_FIELD: CommandField.C_ECHO_RSP, Tag.STATUS: 0}
            values[Tag.AFFECTED_SOP_CLASS_UID] = VERIFICATION
        elif asked == (PUSH_MODEL, CommandField.N_EVENT_REPORT_RQ):
            values = answer_to_report(message, self._arrived)
        else:
            raise NotDimse
        values |= {
            Tag.MESSAGE_ID_RESPONDED_TO: message.command.number(Tag.MESSAGE_ID),
            Tag.DATA_SET_TYPE: NO_DATA_SET,
        }
        wire.send(*fragments(message.context_id, encoded(values), _PDU_BYTES, command=True, last=True))


def _read(kind: int, body: bytes) -> A_ASSOCIATE | None:
    try:
        pdu = A_ASSOCIATE_RQ()
        pdu.decode(struct.pack(">BxI", kind, len(body)) + body)
        return pdu.to_primitive()
    except UNREADABLE:
        return None


def _accepted(request: A_ASSOCIATE) -> tuple[Mapping[int, str], bytes]:
    """Context -> its abstract syntax, and the A-ASSOCIATE-AC."""
    supported = [build_context(PUSH_MODEL, IMPLICIT_LE), build_context(VERIFICATION, IMPLICIT_LE)]
    for context in supported:
        context.scu_role, context.scp_role = True, True
    try:
        asked = {
            one.sop_class_uid: (one.scu_role, one.scp_role)
            for one in request.user_information
            if isinstance(one, SCP_SCU_RoleSelectionNegotiation)
        }
        results, roles = negotiate_as_acceptor(
            list(request.presentation_context_definition_list),
            supported,
            asked,  # type: ignore[arg-type] # UIDs are texts
        )
        answer = A_ASSOCIATE()
        answer.application_context_name = request.application_context_name
        answer.calling_ae_title, answer.called_ae_title = request.calling_ae_title, request.called_ae_title
        answer.result, answer.result_source = 0, 1
        answer.presentation_context_definition_results_list = results
        answer.user_information = [*our_part(), *roles]
        pdu = A_ASSOCIATE_AC()
        pdu.from_primitive(answer)
        raw = pdu.encode()
    except UNREADABLE:
        raise TargetDown("not_dimse") from None
    return {one.context_id or 0: str(one.abstract_syntax) for one in results if one.result == 0}, raw
