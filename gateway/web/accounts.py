"""Logging in and out, and where one may send to (CONTRACT 2.1)."""

from __future__ import annotations

from aiohttp import web

from gateway import tokens
from gateway.protocol.rest import read_credentials
from gateway.web.addresses import client_address
from gateway.web.bearer import principal
from gateway.web.json_body import read_json
from gateway.web.services import PRINCIPAL, RAW_TOKEN, services


async def login(request: web.Request) -> web.StreamResponse:
    """`POST /auth/login`."""
    name, password = read_credentials(await read_json(request))
    account = await services(request).accounts.login(name, password, client_address(request))
    now = services(request).clock.now()
    refresh_token = await services(request).ledger.write(
        lambda tx: tokens.issue(tx, account_id=account.account_id, now=now)
    )
    return _tokens(request, account.account_id, account.role, refresh_token)


async def refresh(request: web.Request) -> web.StreamResponse:
    """`POST /auth/refresh`."""
    now = services(request).clock.now()
    rotated = await tokens.refresh(services(request).ledger, request[RAW_TOKEN], now=now, check=tokens.for_account())
    account = await services(request).accounts.active(rotated.row.account_id)
    return _tokens(request, account.account_id, account.role, rotated.token)


async def logout(request: web.Request) -> web.StreamResponse:
    """`POST /auth/logout`: by refresh token its family ends, by access token every family of the account."""
    ledger = services(request).ledger
    if request.get(PRINCIPAL) is None:
        await tokens.revoke(ledger, request[RAW_TOKEN])
    else:
        account_id = principal(request).account_id
        await ledger.write(lambda tx: tx.tokens.revoke_account(account_id))
    return web.Response(status=204)


async def endpoints(request: web.Request) -> web.StreamResponse:
    """`GET /endpoints`."""
    return web.json_response({"endpoints": list(services(request).endpoints.values())})


def _tokens(request: web.Request, account_id: str, role: str, refresh_token: str) -> web.StreamResponse:
    minted = services(request).mint.access(account_id, role)
    return web.json_response(
        {
            "access_token": minted.token,
            "token_type": "Bearer",
            "expires_in": minted.expires_in_s,
            "refresh_token": refresh_token,
        }
    )
