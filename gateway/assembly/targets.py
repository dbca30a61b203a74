"""The hook that speaks to an endpoint, by its `kind`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.config import endpoints
from hooks.contract import Target
from hooks.targets.stow import DicomWebTarget


def make_target(endpoint: endpoints.EndpointSection, connections: int) -> Target:
    """:param connections: at once, at most."""
    return _BY_KIND[endpoint.kind](endpoint, connections)


def _dicomweb(endpoint: endpoints.EndpointSection, connections: int) -> Target:
    return DicomWebTarget(
        endpoint.url,
        auth=_auth(endpoint.auth),
        ca_bundle=str(endpoint.ca_bundle) if endpoint.ca_bundle is not None else None,
        answer_timeout_s=endpoint.timeout_s,
        page_size=endpoint.page_size,
        max_connections=connections,
    )


def _auth(auth: endpoints.AuthSection) -> tuple[str, str, str] | tuple[str, str] | None:
    if auth.kind == "basic" and auth.password is not None:
        return ("basic", auth.username, auth.password.reveal())
    if auth.kind == "bearer" and auth.token is not None:
        return ("bearer", auth.token.reveal())
    return None


_BY_KIND: Mapping[str, Callable[[endpoints.EndpointSection, int], Target]] = {"dicomweb": _dicomweb}
