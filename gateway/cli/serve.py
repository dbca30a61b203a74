"""`relaypacs serve`: runs the gateway until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import os
from types import FrameType
from typing import TYPE_CHECKING

from gateway.cli.opening import configured
from gateway.errors import ConfigError

if TYPE_CHECKING:
    import ssl

    from gateway.assembly.gateway import Gateway
    from gateway.config import Config
    from gateway.web.server import Listener


log = logging.getLogger("relaypacs.gateway")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve` to the command's parser."""
    parser = subparsers.add_parser("serve", help="run the gateway")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. :returns: 0 after a drain."""
    import signal

    import uvloop

    from gateway import __version__
    from gateway.assembly.site import findings, require_sound
    from gateway.assembly.upkeep import config_digest
    from gateway.cli.logs import log_to_stderr
    from gateway.cli.private_memory import give_memory_back, keep_memory_private
    from gateway.config import find_config_path

    keep_memory_private()
    give_memory_back()
    config, file = configured(args), find_config_path(args.config, os.environ)
    log_to_stderr(config.log.format, config.log.level)
    signal.signal(signal.SIGHUP, _no_reload)
    warnings = require_sound(findings(config, file))  # a fault is one line on stderr, as any command's
    log.info("starting version=%s config=%s config_sha256=%s", __version__, file, config_digest(config))
    for warning in warnings:
        log.warning("%s: %s", warning.part, warning.words)
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
    from gateway.assembly.site import tls_context
    from gateway.cli.private_memory import give_rest_back, pass_over_what_stays
    from gateway.clock import SystemClock
    from gateway.web.app import create_app
    from gateway.web.server import Listener

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _no_reload, signal.SIGHUP, None)
    async with open_gateway(config, SystemClock()) as gateway:
        listener = Listener(create_app(gateway.services), gateway.intake.leases)
        tls = tls_context(config)
        pass_over_what_stays()
        try:
            port = await listener.start(config.server.host, config.server.port, tls)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "no such address"
            raise ConfigError(
                f"can't listen on {config.server.host}:{config.server.port} ({reason}): change server.host or server.port"
            ) from None
        host = f"[{config.server.host}]" if ":" in config.server.host else config.server.host
        print(f"listening on {'https' if tls else 'http'}://{host}:{port}", flush=True)
        log.info("listening port=%d", port)
        metrics = await _listen_for_metrics(config, gateway, tls)
        resting = asyncio.create_task(give_rest_back(), name="memory")
        await stop.wait()
        resting.cancel()
        log.info("stopping drain_s=%d", config.server.drain_s)
        gateway.delivery.drain()
        await listener.drain(config.server.drain_s)
        if metrics is not None:
            await metrics.close()


async def _listen_for_metrics(config: Config, gateway: Gateway, tls: ssl.SSLContext | None) -> Listener | None:
    """On their own port, if the configuration gives them one. :raises ConfigError: the address can't be had."""
    from gateway.web.app import create_metrics_app
    from gateway.web.server import Listener

    where = config.metrics
    if not where.port:
        return None
    listener = Listener(create_metrics_app(gateway.services), gateway.intake.leases)
    try:
        await listener.start(where.host, where.port, tls)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "no such address"
        raise ConfigError(
            f"can't listen on {where.host}:{where.port} ({reason}): change metrics.host or metrics.port"
        ) from None
    log.info("metrics port=%d", where.port)
    return listener


def _no_reload(_number: int, _frame: FrameType | None) -> None:
    log.warning("SIGHUP is ignored: a changed configuration or certificate needs a restart")
