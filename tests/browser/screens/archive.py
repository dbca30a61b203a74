"""The demo's little archive alone, as the PACS of the gateway that the screens are shown by."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web

from gateway.demo.archive import create_archive


async def run(root: Path) -> None:
    """Serve until the process is ended; says where on stdout."""
    runner = web.AppRunner(create_archive(root), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
