"""The hook that speaks to an endpoint, by its `kind`."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping

from gateway.assembly.site import listens, reports_tls_context
from gateway.config import Config, endpoints
from gateway.errors import ConfigError
from hooks.contract import Committing, Target
from hooks.targets.folder import FolderTarget
from hooks.targets.oauth2 import ClientCredentials
from hooks.targets.stow import DicomWebTarget
from hooks.targets.transport import Auth


def make_target(endpoint: endpoints.EndpointSection, connections: int) -> Target:
    """:param connections: at once, at most."""
    return _BY_KIND[endpoint.kind](endpoint, connections)


def _dicomweb(endpoint: endpoints.EndpointSection, connections: int) -> Target:
    return DicomWebTarget(
        endpoint.url,
        auth=_auth(endpoint),
        ca_bundle=str(endpoint.ca_bundle) if endpoint.ca_bundle is not None else None,
        answer_timeout_s=endpoint.timeout_s,
        page_size=endpoint.page_size,
        max_connections=connections,
        commitment=endpoint.commitment,
    )


def _auth(endpoint: endpoints.EndpointSection) -> Auth | None:
    auth = endpoint.auth
    match auth.kind:
        case "basic" if auth.password is not None:
            return ("basic", auth.username, auth.password.reveal())
        case "bearer" if auth.token is not None:
            return ("bearer", auth.token.reveal())
        case "oauth2" if auth.client_secret is not None:
            return ClientCredentials(
                auth.token_url,
                auth.client_id,
                auth.client_secret.reveal(),
                auth.scope,
                ca_bundle=str(auth.ca_bundle) if auth.ca_bundle is not None else None,
                answer_timeout_s=endpoint.timeout_s,
            )
        case "mtls":
            return ("mtls", str(auth.cert), str(auth.key_file))
    return None


def _folder(endpoint: endpoints.EndpointSection, _: int) -> Target:
    assert endpoint.path is not None
    return FolderTarget(endpoint.path, endpoint.layout, read_back=endpoint.verify)


def _dimse(endpoint: endpoints.EndpointSection, _: int) -> Target:
    from hooks.targets.dimse.target import DimseTarget
    from hooks.targets.dimse.wire import Peer

    peer = Peer(
        endpoint.host,
        endpoint.port,
        endpoint.called_aet,
        endpoint.calling_aet,
        answer_timeout_s=endpoint.timeout_s,
        tls=None if endpoint.tls is None else _tls(endpoint.tls),
    )
    return DimseTarget(peer, associations=endpoint.associations, commitment=endpoint.commitment)


def committing(endpoint: endpoints.EndpointSection, target: Target) -> Committing | None:
    """The target, if it shall be asked for storage commitment."""
    if not endpoint.commitment:
        return None
    if isinstance(target, DicomWebTarget):
        return target
    from hooks.targets.dimse.target import DimseTarget

    assert isinstance(target, DimseTarget), "the configuration refuses commitment of other kinds"
    return target


def listen(config: Config, targets: Iterable[Target]) -> Callable[[], None]:
    """Take reports of storage commitment from now on, if any endpoint sends some; returns what ends that.

    :raises ConfigError: the address can't be listened on, or its certificate can't be used.
    """
    if not listens(config):
        return lambda: None
    from hooks.targets.dimse.listener import ReportListener
    from hooks.targets.dimse.target import DimseTarget
    from hooks.targets.transactions import Report

    takers = [target for target in targets if isinstance(target, DimseTarget)]

    def arrived(report: Report) -> bool:
        return any(taker.arrived(report) for taker in takers)

    dimse, tls = config.dimse, reports_tls_context(config)
    try:
        return ReportListener(dimse.host, dimse.port, dimse.aet, arrived, tls).close
    except OSError as error:
        raise ConfigError(f"dimse.host, dimse.port: can't be listened on: {error.strerror}") from None


def _tls(tls: endpoints.TlsSection) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key_file, password="")
    return context


_BY_KIND: Mapping[str, Callable[[endpoints.EndpointSection, int], Target]] = {
    "dicomweb": _dicomweb,
    "dimse": _dimse,
    "folder": _folder,
}
