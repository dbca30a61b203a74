"""Mail by SMTP (RFC 5321), over TLS: whoever looks after an endpoint, and the uploader who gave an address.

A mail names no patient: upload, endpoint, state, receipt, and what to do. Its Message-ID stays the same when it is sent
again.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any

from gateway.ledger.rows import UploadRow
from gateway.protocol.values import is_mailbox
from gateway.telling.messages import NotSent, OutgoingMessage
from gateway.telling.webhook import code_of

#: Event -> what it means, and what to do.
_WORDS: Mapping[str, tuple[str, str]] = {
    "upload.success": ("delivered", "Everything is in the PACS. Nothing is to be done."),
    "upload.partial": ("delivered in part", "Some of it is not in the PACS. Its warnings say what and why."),
    "upload.failed": ("not delivered", "Nothing of it is in the PACS. Its warnings say why."),
    "upload.held": ("held", "It waits for a person: look at it, then release or drop it."),
    "upload.delayed": ("late", "It is marked STAT and is not in the PACS yet."),
}


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail server.

    :param tls: from the first byte on (`smtps`); else STARTTLS, unless `plain`.
    :param sender: `From`.
    :param by_endpoint: endpoint_id -> addresses that hear of its uploads.
    :param to_uploaders: those who gave an address hear of theirs.
    """

    host: str
    port: int
    tls: bool
    sender: str
    events: Sequence[str]
    by_endpoint: Mapping[str, Sequence[str]]
    to_uploaders: bool
    user: str = ""
    password: str = field(default="", repr=False)
    plain: bool = False
    ca_bundle: str | None = None
    timeout_s: float = 30.0

    @property
    def kind(self) -> str:
        """Of channel."""
        return "mail"

    @property
    def name(self) -> str:
        """Of this one."""
        return "mail"

    @property
    def with_patient_data(self) -> bool:
        """Never."""
        return False

    def addresses(self, event: str, upload: UploadRow, declared: Mapping[str, Any]) -> Sequence[str]:
        """Those of the endpoint, and the uploader's; each once."""
        if event not in self.events:
            return ()
        found = list(self.by_endpoint.get(upload.endpoint_id, ()))
        theirs = str((declared.get("uploader") or {}).get("email") or "").strip()
        if self.to_uploaders and is_mailbox(theirs):
            found.append(theirs)
        return list(dict.fromkeys(found))

    def send(self, message: OutgoingMessage, now: float) -> None:
        """Hand it to the server. :raises NotSent: it can't be had, or doesn't take it."""
        mail = self._written(message, now)
        try:
            with self._connected() as server:
                server.send_message(mail, to_addrs=[message.address])
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise NotSent("recipient_refused", final=all(code >= 500 for code in codes)) from None
        except smtplib.SMTPException as error:
            raise _not_sent(error) from None
        except OSError as error:
            raise NotSent(code_of(error)) from None

    def probe(self) -> str:
        """Connect and log in."""
        try:
            with self._connected() as server:
                server.noop()
        except smtplib.SMTPException as error:
            raise _not_sent(error) from None
        except OSError as error:
            raise NotSent(code_of(error)) from None
        return "can be reached" + (", and lets us in" if self.user else "")

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context(cafile=self.ca_bundle)
        server: smtplib.SMTP
        if self.tls:
            server = smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout_s, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=self.timeout_s)
        try:
            if not (self.tls or self.plain):
                server.starttls(context=context)
            if self.user:
                server.login(self.user, self.password)
        except BaseException:
            server.close()
            raise
        return server

    def _written(self, message: OutgoingMessage, now: float) -> EmailMessage:
        said = message.body["data"]
        title, words = _WORDS[message.body["type"]]
        mail = EmailMessage()
        mail["Subject"] = f"RelayPACS: upload {said['upload_id'][:8]} {title} ({said['endpoint_id']})"
        mail["From"] = self.sender
        mail["To"] = message.address
        mail["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
        mail["Message-ID"] = f"<{message.message_id}@{parseaddr(self.sender)[1].rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office notes
        files = said["files"]
        lines = [
            words,
            "",
            f"Upload:   {said['upload_id']}",
            f"Endpoint: {said['endpoint_id']}",
            f"State:    {said['state']}",
            f"Files:    {files['whole']} of {files['expected']}",
            *([f"Held for: {', '.join(said['held_reasons'])}"] if said["held_reasons"] else []),
            *([f"Receipt:  {said['pacs_receipt_id']}"] if said["pacs_receipt_id"] else []),
            f"Time:     {message.body['timestamp']}",
        ]
        mail.set_content("\n".join(lines) + "\n")
        return mail


def _not_sent(error: smtplib.SMTPException) -> NotSent:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return NotSent("login_refused")
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return NotSent("connect_failed")
    return NotSent("refused")
