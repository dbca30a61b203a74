"""What every ledger promises (gateway/ledger/base.py), run over each backend there is: sums, empty uploads, what is revoked."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from gateway.ledger.base import Ledger, Transaction
from gateway.ledger.rows import AccountSums, QrRow, RefreshTokenRow, UploadRow
from tests.ledger_rows import qr_row, token_row, upload_row

U, V, W = "0a" * 16, "0b" * 16, "0c" * 16
ADA, BOB = "a1" * 16, "b1" * 16


def upload(upload_id: str, owner_id: str = ADA, **known: Any) -> UploadRow:
    return upload_row(upload_id, now=100.0, owner_id=owner_id, **known)


async def add(ledger: Ledger, row: UploadRow | QrRow | RefreshTokenRow) -> None:
    def act(tx: Transaction) -> None:
        if isinstance(row, UploadRow):
            tx.uploads.insert(row)
        elif isinstance(row, QrRow):
            tx.qr_codes.insert(row)
        else:
            tx.tokens.insert(row)

    await ledger.write(act)


def deleted(tx: Transaction, upload_id: str) -> None:
    tx.uploads.delete(upload_id)


async def sums(ledger: Ledger, owner_id: str = ADA) -> tuple[int, int]:
    found = await ledger.read(lambda tx: tx.uploads.sums_of(owner_id))
    assert isinstance(found, AccountSums)
    return found.open_uploads, found.reserved_bytes


async def change(ledger: Ledger, upload_id: str, **known: Any) -> None:
    def act(tx: Transaction) -> None:
        row = tx.uploads.get(upload_id)
        assert row is not None
        tx.uploads.save(replace(row, **known))

    await ledger.write(act)


async def test_what_an_accounts_uploads_take_follows_each_of_their_steps(ledger: Ledger) -> None:
    assert await sums(ledger) == (0, 0)
    for one in (upload(U, reserved_bytes=10), upload(V, reserved_bytes=5), upload(W, BOB, reserved_bytes=7)):
        await add(ledger, one)
    assert (await sums(ledger), await sums(ledger, BOB)) == ((2, 15), (1, 7))
    await change(ledger, U, reserved_bytes=0)
    assert await sums(ledger) == (2, 5)
    await change(ledger, U, reserved_bytes=10, completed_at=101.0)
    assert await sums(ledger) == (1, 15)
    await change(ledger, U, finished_at=102.0)
    await change(ledger, V, finished_at=102.0)
    assert await sums(ledger) == (0, 15)
    await change(ledger, U, erased_at=103.0)
    assert await sums(ledger) == (0, 5)
    for upload_id in (U, V):
        await ledger.write(partial(deleted, upload_id=upload_id))
    assert (await sums(ledger), await sums(ledger, BOB)) == ((0, 0), (1, 7))


async def test_empty_uploads_are_those_that_hold_room_and_have_no_byte(ledger: Ledger) -> None:
    rows: dict[str, dict[str, Any]] = {
        "1" * 32: {"reserved_bytes": 5},
        "2" * 32: {"reserved_bytes": 5, "received_bytes": 1},
        "3" * 32: {"reserved_bytes": 0},
        "4" * 32: {"reserved_bytes": 5, "completed_at": 101.0},
        "5" * 32: {"reserved_bytes": 5, "finished_at": 101.0},
        "6" * 32: {"reserved_bytes": 5, "created_at": 99.0},
        "7" * 32: {"reserved_bytes": 5, "created_at": 200.0},
    }
    for upload_id, known in rows.items():
        await add(ledger, upload(upload_id, **known))
    found = await ledger.read(lambda tx: [row.upload_id for row in tx.uploads.empty(100.0, 10)])
    assert found == ["6" * 32, "1" * 32]
    assert len(await ledger.read(lambda tx: tx.uploads.empty(100.0, 1))) == 1


async def test_unused_codes_are_counted_for_their_life_and_a_day_at_least_revoked_ones_too(ledger: Ledger) -> None:
    day, known = 86_400.0, {"issuer_id": ADA}
    for row in (
        qr_row("1", **known, created_at=1.0, expires_at=2 * day),
        qr_row("2", **known, created_at=20.0, expires_at=21.0),
        qr_row("3", **known, created_at=10.0, expires_at=11.0),
        qr_row("4", **known, created_at=1.0, expires_at=2 * day, used_at=5.0),
        qr_row("5", **known, created_at=1.0, expires_at=2 * day, revoked_at=5.0),
        qr_row("6", issuer_id=BOB, created_at=1.0, expires_at=2 * day),
    ):
        await add(ledger, row)
    assert await ledger.read(lambda tx: tx.qr_codes.counted_of(ADA, day + 10.0)) == (3, day + 20.0)
    assert await ledger.read(lambda tx: tx.qr_codes.counted_of(ADA, day + 20.0)) == (2, 2 * day)
    assert await ledger.read(lambda tx: tx.qr_codes.counted_of("nobody", 10.0)) == (0, 10.0)


async def test_logins_are_revoked_but_one_and_uploads_keep_their_tokens(ledger: Ledger) -> None:
    await add(ledger, upload(U))
    for token, family, upload_id, account_id in (
        (b"1", "this", None, ADA),
        (b"2", "other", None, ADA),
        (b"3", "of U", U, ADA),
        (b"4", "bob's", None, BOB),
    ):
        row = replace(token_row(token), family_id=family, upload_id=upload_id, account_id=account_id)
        await add(ledger, row)

    async def living() -> list[bytes]:
        every = (b"1", b"2", b"3", b"4")
        return await ledger.read(lambda tx: [token for token in every if tx.tokens.get(token) is not None])

    await ledger.write(lambda tx: tx.tokens.revoke_sessions(ADA, but="this"))
    assert await living() == [b"1", b"3", b"4"]
    await ledger.write(lambda tx: tx.tokens.revoke_upload(U))
    assert await living() == [b"1", b"4"]
