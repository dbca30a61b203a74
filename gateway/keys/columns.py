"""Everything that is sealed into a column, once: what is sealed for one place opens in no other.

A sealed value is bound to `table|column|row` (docs/spool-format.md, values). The strings are part of what is stored: they
never change.
"""

from __future__ import annotations

from enum import Enum


class Column(Enum):
    """A column that holds sealed values."""

    ACCOUNT_NAME = "accounts|name"
    FILE_BYTES = "files|bytes"  #: of a file that the gateway made itself
    FILE_CLIENT_ID = "files|client_id"
    FILE_CONCAT = "files|concat"  #: `Upload-Concat` of a final
    FILE_FACTS = "files|facts"
    FILE_META = "files|meta"  #: `Upload-Metadata`
    FILE_OUTCOME = "files|outcome"
    FILE_SOURCES = "files|sources"  #: keys of the parts of a final
    JOB_MEMORY = "jobs|memory"
    QR_TERMS = "qr_codes|terms"
    RECEIPT_JWS = "receipts|jws"
    UPLOAD_META = "uploads|meta"
    UPLOAD_SKIPPED = "uploads|skipped"
    UPLOAD_STUDIES = "uploads|studies"
    UPLOAD_WARNINGS = "uploads|warnings"

    def of(self, row_id: object) -> str:
        """This column of one row, as the context of `Sealer.seal`."""
        return f"{self.value}|{row_id}"
