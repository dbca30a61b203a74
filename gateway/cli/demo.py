"""`relaypacs demo`: a gateway and a little archive as its PACS, with nothing to configure."""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import secrets
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import uvloop
from aiohttp import web

from gateway.accounts import Accounts
from gateway.cli.serve import allow_many_files
from gateway.clock import SystemClock
from gateway.config import Config, load
from gateway.demo.archive import create_archive
from gateway.errors import ConfigError
from gateway.logs import log_to_stderr
from gateway.web.app import create_app
from gateway.web.server import Listener
from gateway.wiring import open_gateway

ACCOUNT = "admin"
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class _Place:
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
    parser = subparsers.add_parser("demo", help="try the whole thing with nothing to configure")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="port of the gateway (default: 8080)")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="where to keep its data (default: a new temporary folder)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo until it is interrupted."""
    root = args.dir if args.dir is not None else Path(tempfile.mkdtemp(prefix="relaypacs-demo-"))
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        raise ConfigError("--dir can't be made: name a folder that you may write to") from None
    log_to_stderr()
    allow_many_files()
    uvloop.run(_demo(_Place(root.resolve()), args.port))
    return 0


async def _demo(place: _Place, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    archive = web.AppRunner(create_archive(place.root / "archive"), access_log=None)
    await archive.setup()
    await web.TCPSite(archive, _HOST, 0).start()
    archive_url = f"http://{_HOST}:{archive.addresses[0][1]}"
    try:
        async with open_gateway(_config(place, port, archive_url), SystemClock()) as gateway:
            accounts = Accounts(gateway.base.ledger, gateway.base.keys, gateway.base.clock)
            password = place.secret("password", secrets.token_urlsafe(12))
            if not await accounts.all():
                await accounts.add(ACCOUNT, "admin", password)
            listener = Listener(create_app(gateway.services), gateway.leases)
            try:
                bound = await listener.start(_HOST, port, None)
            except OSError:
                raise ConfigError(f"port {port} is taken: name another one with --port") from None
            _welcome(place, f"http://{_HOST}:{bound}", archive_url, password)
            await stop.wait()
            gateway.delivery.drain()
            await listener.drain(5.0)
    finally:
        await archive.cleanup()


def _config(place: _Place, port: int, archive_url: str) -> Config:
    """A configuration like any other, read like any other."""
    key = place.secret("spool-key", base64.b64encode(secrets.token_bytes(32)).decode())
    token_secret = place.secret("tokens", secrets.token_urlsafe(48))
    path = place.root / "relaypacs.toml"
    text = f"""\
[server]
port = {port}
[database]
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


def _welcome(place: _Place, url: str, archive_url: str, password: str) -> None:
    print(f"listening on {url}", flush=True)
    print(
        f"""
RelayPACS demo
  gateway     {url}
  archive     {archive_url}/   (shows what has arrived)
  account     {ACCOUNT}
  password    {password}
  data        {place.root}

Send a study from another terminal:
  RELAYPACS_PASSWORD={password} relaypacs send FOLDER --to {url} --user {ACCOUNT}

Ctrl-C ends it.""",
        flush=True,
    )
