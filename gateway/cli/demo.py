"""`relaypacs demo`: a gateway and a little archive as its PACS, with nothing to configure."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.cli.demo_lan import Lan
    from gateway.config import Config


ACCOUNT = "admin"
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class _DemoFolder:
    """The demo's folder: everything it writes, keys and password too."""

    root: Path

    def secret(self, name: str, make: str) -> str:
        """A secret of this demo, made at its first start and kept beside its data."""
        path = self.root / f"{name}.secret"
        if not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(make)
        return path.read_text()


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `demo` to the command's parser."""
    from gateway.cli.demo_lan import add_arguments

    parser = subparsers.add_parser("demo", help="try the whole thing with nothing to configure")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="port of the gateway (default: 8080)")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="where to keep its data (default: a new temporary folder)"
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo until it is interrupted."""
    import tempfile

    import uvloop

    from gateway.cli.demo_lan import open_lan
    from gateway.cli.logs import log_to_stderr
    from gateway.cli.serve import allow_many_files
    from gateway.clock import SystemClock

    root = args.dir if args.dir is not None else Path(tempfile.mkdtemp(prefix="relaypacs-demo-"))
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        raise ConfigError("--dir can't be made: name a folder that you may write to") from None
    place = _DemoFolder(root.resolve())
    lan = open_lan(args, place.root, SystemClock())
    page_port = args.ca_port if args.ca_port is not None else args.port and args.port + 1
    log_to_stderr()
    allow_many_files()
    uvloop.run(_demo(place, args.port, lan, page_port))
    return 0


async def _demo(place: _DemoFolder, port: int, lan: Lan | None, page_port: int) -> None:
    import asyncio
    import secrets
    import signal
    from contextlib import AsyncExitStack

    from gateway.assembly.gateway import open_gateway
    from gateway.assembly.site import tls_context
    from gateway.cli.demo_lan import instructions
    from gateway.cli.private_memory import pass_over_what_stays
    from gateway.clock import SystemClock
    from gateway.demo.archive import create_archive
    from gateway.demo.trust_page import create_trust_app
    from gateway.identity.accounts import Accounts
    from gateway.web.app import create_app
    from gateway.web.server import Listener

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        archive_url = await stack.enter_async_context(_listening(create_archive(place.root / "archive"), _HOST, 0))
        config = _config(place, port, lan, archive_url)
        gateway = await stack.enter_async_context(open_gateway(config, SystemClock()))
        accounts = Accounts(gateway.base.ledger, gateway.base.keys, gateway.base.clock)
        password = place.secret("password", secrets.token_urlsafe(12))
        if not await accounts.all():
            await accounts.add(ACCOUNT, "admin", password)
        listener = Listener(create_app(gateway.services), gateway.intake.leases)
        pass_over_what_stays()
        try:
            bound = await listener.start(config.server.host, port, tls_context(config))
        except OSError:
            raise ConfigError(f"port {port} is taken: name another one with --port") from None
        url, on_a_phone = config.server.public_url_for(bound), ""
        if lan is not None:
            page = _listening(create_trust_app(lan.offer(url)), config.server.host, page_port)
            try:
                on_a_phone = instructions(lan, await stack.enter_async_context(page) + "/")
            except OSError:
                raise ConfigError(f"port {page_port} is taken: name another one with --ca-port") from None
        _welcome(place, url, archive_url, password, lan, on_a_phone)
        await stop.wait()
        gateway.delivery.drain()
        await listener.drain(5.0)


@asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """A plain-HTTP listener beside the gateway; yields its address."""
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{f'[{host}]' if ':' in host else host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _config(place: _DemoFolder, port: int, lan: Lan | None, archive_url: str) -> Config:
    """A configuration like any other, read like any other."""
    import base64
    import secrets

    from gateway.config import load

    key = place.secret("spool-key", base64.b64encode(secrets.token_bytes(32)).decode())
    token_secret = place.secret("tokens", secrets.token_urlsafe(48))
    path = place.root / "relaypacs.toml"
    tls = f'host = "{lan.host}"\ntls_cert = "{lan.certificate}"\ntls_key = "{lan.certificate}"\n' if lan else ""
    text = f"""\
[server]
port = {port}
{tls}[database]
url = "sqlite://{place.root}/relaypacs.db"
[spool]
url = "file://{place.root}/spool"
[spool.keys]
active = "demo"
demo = {{ file = "{place.root}/spool-key.secret" }}
[tokens]
secret = {{ file = "{place.root}/tokens.secret" }}
[delivery]
retry_base = "500ms"
[endpoints.demo]
kind = "dicomweb"
url = "{archive_url}/dicom-web"
display_name = "Demo archive"
contact = "nobody: this is a demo"
notes = "sr"
[audit]
file = "{place.root}/audit.jsonl"
"""
    if not key or not token_secret:
        raise ConfigError("a secret of the demo is empty: name a new folder with --dir")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    return load(path, {})


def _welcome(place: _DemoFolder, url: str, archive_url: str, password: str, lan: Lan | None, on_a_phone: str) -> None:
    trusting = f"REQUESTS_CA_BUNDLE={shlex.quote(str(lan.authority_certificate))} " if lan else ""
    print(f"listening on {url}", flush=True)
    print(
        f"""
RelayPACS demo
  gateway     {url}
  archive     {archive_url}/   (shows what has arrived)
  account     {ACCOUNT}
  password    {password}
  data        {place.root}
{on_a_phone}
Send a study from another terminal:
  {trusting}RELAYPACS_PASSWORD={password} {_command()} send FOLDER --to {url} --user {ACCOUNT}

Ctrl-C ends it.""",
        flush=True,
    )


def _command() -> str:
    """This command, for a shell in any folder: a clone's `.venv/bin` is on nobody's PATH."""
    path = Path(sys.argv[0]).absolute()
    return shlex.quote(str(path)) if os.access(path, os.X_OK) else f"{shlex.quote(sys.executable)} -m gateway"
