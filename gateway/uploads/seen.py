"""Uploads and files as those who act on them see them."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.ledger.rows import FileRow, UploadRow


@dataclass(frozen=True, slots=True)
class Opened:
    """A new upload, or the same again."""

    upload: UploadRow
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A file and its upload as the ledger has them.

    :param raw_metadata: `Upload-Metadata` as received; None: none, or nobody looked.
    :param concat: `Upload-Concat` of a final as received; None: it isn't one, or nobody looked.
    :param fresh: made just now, by the one who sees it.
    """

    upload: UploadRow
    file: FileRow
    raw_metadata: str | None = None
    concat: str | None = None
    fresh: bool = False
