"""What a PACS has under a UID beside what is to be sent under it, by their digests."""

from __future__ import annotations

from collections.abc import Iterator

from hooks.contract import Comparison, Instance
from hooks.targets.data_set_digest import UNCOMPRESSED, FileDigests, digests_of

PIECE_BYTES = 1 << 20


def compared(instance: Instance, theirs: FileDigests | None) -> Comparison:
    """:param theirs: of what is there; None: it isn't given back. What `Instance.open` raises is passed on."""
    if theirs is None:
        return Comparison.UNAVAILABLE
    if theirs.sha256 == instance.sha256:
        return Comparison.SAME
    ours = digests_of(pieces_of(instance))
    syntaxes = {ours.transfer_syntax_uid, theirs.transfer_syntax_uid}
    if ours.data_set is not None and ours.data_set == theirs.data_set:
        return Comparison.SAME_DATA_SET
    if len(syntaxes) > 1 and theirs.data_set is not None and not syntaxes <= UNCOMPRESSED:
        return Comparison.UNAVAILABLE
    return Comparison.DIFFERENT


def pieces_of(instance: Instance) -> Iterator[bytes]:
    """Its bytes. What its source raises is passed on."""
    source = instance.open()
    try:
        for offset in range(0, instance.size_bytes, PIECE_BYTES):
            yield source.read_at(offset, min(PIECE_BYTES, instance.size_bytes - offset))
    finally:
        source.close()
