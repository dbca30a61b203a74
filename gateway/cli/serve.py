"""`relaypacs serve`: runs the gateway until SIGTERM."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from gateway.cli.opening import configured
from gateway.errors import ConfigError

if TYPE_CHECKING:
    import ssl

    from gateway.config import Config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve` to the command's parser."""
    parser = subparsers.add_parser("serve", help="run the gateway")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. :returns: 0 after a drain."""
    import uvloop

    from gateway.logs import log_to_stderr

    config = configured(args)
    log_to_stderr(config.log.format)
    allow_many_files()
    uvloop.run(_serve(config))
    return 0


def allow_many_files() -> None:
    """A thousand clients with a segment each need more handles than a shell grants."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(config: Config) -> None:
    import asyncio
    import signal

    from gateway.assembly.gateway import open_gateway
    from gateway.clock import SystemClock
    from gateway.web.app import create_app
    from gateway.web.server import Listener

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_gateway(config, SystemClock()) as gateway:
        listener = Listener(create_app(gateway.services), gateway.intake.leases)
        tls = tls_context(config)
        try:
            port = await listener.start(config.server.host, config.server.port, tls)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "no such address"
            raise ConfigError(
                f"can't listen on {config.server.host}:{config.server.port} ({reason}): change server.host or server.port"
            ) from None
        host = f"[{config.server.host}]" if ":" in config.server.host else config.server.host
        print(f"listening on {'https' if tls else 'http'}://{host}:{port}", flush=True)
        await stop.wait()
        gateway.delivery.drain()
        await listener.drain(config.server.drain_s)


def tls_context(config: Config) -> ssl.SSLContext | None:
    """What the gateway itself speaks TLS with; nothing without a certificate.

    :raises ConfigError: the certificate or its key can't be used.
    """
    import ssl

    if config.server.tls_cert is None or config.server.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.server.tls_cert, config.server.tls_key)
    except (OSError, ssl.SSLError):
        raise ConfigError("server.tls_cert and server.tls_key can't be used: give a PEM chain and its key") from None
    return context
