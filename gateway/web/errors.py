"""Every error becomes problem+json (RFC 9457) here and nowhere else."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from gateway import errors
from gateway.identity.throttle import network_of
from gateway.uploads.body import BodyBroken, BodyGarbled, BodyStopped
from gateway.web.addresses import client_address, client_of
from gateway.web.services import CLAIMED, PRINCIPAL, PROBLEM_CODE, services

log = logging.getLogger("relaypacs.web")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Class of error -> HTTP status; a class that isn't here has its parent's.
STATUS: dict[type[errors.GatewayError], int] = {
    errors.GatewayError: 500,
    errors.Refusal: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Interrupted: 408,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.UnsupportedVersion: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.Unprocessable: 422,
    errors.Locked: 423,
    errors.TooMany: 429,
    errors.HeadTooLarge: 431,
    errors.ChecksumMismatch: 460,
    errors.NotBuilt: 501,
    errors.Unavailable: 503,
    errors.SpoolFull: 507,
}


def status_of(error: errors.GatewayError) -> int:
    """The HTTP status of an error."""
    return next(STATUS[parent] for parent in type(error).__mro__ if parent in STATUS)


def translated(error: BaseException) -> errors.GatewayError | None:
    """What aiohttp and bodies raise, in our vocabulary; None: nothing that we expect."""
    if isinstance(error, errors.GatewayError):
        return error
    if isinstance(error, BodyStopped):
        return errors.Conflict("another request took over this file; what came is kept", code="taken_over")
    if isinstance(error, BodyGarbled):
        return errors.Malformed("the coding of the body can't be read; what came before is kept")
    if isinstance(error, BodyBroken):
        return errors.Interrupted("the body broke off; what came is kept")
    if isinstance(error, web.HTTPException):
        return _of_http(error)
    return None


def _of_http(error: web.HTTPException) -> errors.GatewayError:
    match error.status:
        case 404:
            return errors.NotFound("there is no such resource")
        case 405:
            return errors.MethodNotAllowed("this method isn't offered here", allow=error.headers.get("Allow", ""))
        case 413:
            return errors.TooLarge("the body is too large", code="body_too_large")
        case _:
            return errors.Malformed("the request can't be read")


def problem(error: errors.GatewayError, request_id: str) -> web.Response:
    """The answer to an error."""
    status = status_of(error)
    extra = dict(error.extra)
    headers: dict[str, str] = {}
    if (retry_after_s := extra.pop("retry_after_s", None)) is not None:
        headers["Retry-After"] = str(max(1, round(retry_after_s)))
    if (allow := extra.pop("allow", None)) is not None:
        headers["Allow"] = allow
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="relaypacs"'
    if error.code == "offset_mismatch":
        headers["Upload-Offset"] = str(extra["offset"])
    if isinstance(error, errors.UnsupportedVersion):
        headers["Tus-Version"] = "1.0.0"
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": status,
        "code": error.code,
        "detail": error.detail,
        "request_id": request_id,
    }
    return web.Response(
        status=status,
        reason=_reason(status),
        text=json.dumps(body | extra),
        content_type="application/problem+json",
        headers=headers,
    )


def _reason(status: int) -> str:
    return "Checksum Mismatch" if status == 460 else HTTPStatus(status).phrase


async def answered(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    """The handler's answer, or the problem that it raised."""
    try:
        return await handler(request)
    except (errors.GatewayError, web.HTTPException, BodyBroken, BodyStopped) as error:
        found = translated(error) or errors.GatewayError("the gateway failed")
        if isinstance(error, BodyStopped) and services(request).draining:
            found = errors.Unavailable("the gateway is stopping; what came is kept", code="draining", retry_after_s=5)
        if isinstance(found, errors.SpoolFull):
            found.extra.setdefault("retry_after_s", services(request).room_again_s)
        if isinstance(found, errors.Refusal):
            _note(request, found)
        request[PROBLEM_CODE] = found.code
        limit = found.extra.get("limit", "") if found.code == "quota_exceeded" else ""
        services(request).metrics.refused(found.code, limit)
        if isinstance(found, errors.TooMany | errors.ChecksumMismatch):
            await services(request).pace.refused(client_of(request))
        response = problem(found, request_id)
        if isinstance(error, BodyBroken | BodyStopped):
            response.force_close()
        return response
    except Exception as error:  # the edge of the process: whatever a handler did not foresee becomes a 500
        request[PROBLEM_CODE] = errors.GatewayError.codes[0]
        services(request).metrics.refused(errors.GatewayError.codes[0])
        log.exception("unforeseen error=%s request_id=%s", type(error).__name__, request_id, exc_info=_frames(error))
        return problem(errors.GatewayError("the gateway failed; its log has this request_id"), request_id)


def _note(request: web.Request, refusal: errors.Refusal) -> None:
    """Who was refused, and from where, for the audit trail."""
    who = request.get(PRINCIPAL)
    account = who.account_id if who is not None else request.get(CLAIMED, "")
    services(request).refusals.note(refusal.code, account, network_of(client_address(request)))


def _frames(error: Exception) -> tuple[type[BaseException], BaseException, Any]:
    """The stack without the message: a message may carry values."""
    return (RuntimeError, RuntimeError(type(error).__name__), error.__traceback__)
