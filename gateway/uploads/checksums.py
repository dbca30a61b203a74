"""Declared digests against the bytes that are in the spool, before an upload is completed (CONTRACT 2.2, checksums)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from gateway.errors import ChecksumMismatch, Conflict
from gateway.ledger.base import Transaction
from gateway.ledger.rows import FileRow, UploadRow
from gateway.spool import SpooledFile
from gateway.uploads.intake import Intake, file_key


async def compare(intake: Intake, upload: UploadRow, file: FileRow, declared: Mapping[str, bytes]) -> None:
    """Read a file and compare.

    :param declared: hashlib name -> raw digest.
    :raises ChecksumMismatch: the bytes differ.
    :raises Conflict: `incomplete`: the file has holes.
    """
    source = await intake.ledger.read(lambda tx: open_source(tx, intake, upload, file))
    found = await intake.pipeline.threads.run(_digests, source, list(declared))
    if not all(hmac.compare_digest(found[name], digest) for name, digest in declared.items()):
        raise ChecksumMismatch("a file doesn't have the declared digest")


def open_source(tx: Transaction, intake: Intake, upload: UploadRow, file: FileRow) -> SpooledFile:
    """The plaintext of a file as far as it is there. :raises Conflict: `incomplete`: it has holes."""
    rows = [run for run in tx.runs.of_file(file.file_id) if run.length]
    if rows and rows[-1].start + rows[-1].length != file.offset:
        raise Conflict("a file whose checksum is declared isn't whole", code="incomplete")
    return intake.spool.reader(
        rows,
        upload_id=upload.upload_id,
        file_id=file.file_id,
        key=file_key(tx, intake.ring, upload, file),
        size_bytes=file.offset,
    )


def _digests(source: SpooledFile, names: Sequence[str]) -> dict[str, bytes]:
    hashes = {name: hashlib.new(name) for name in names}
    try:
        for piece in source.iter_pieces():
            for one in hashes.values():
                one.update(piece)
    finally:
        source.close()
    return {name: one.digest() for name, one in hashes.items()}
