"""`python -m tests.e2e.clients.with_aiotus TUS_URL FILE`: aiotus, with its own retries."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import aiotus


async def send(url: str, path: Path) -> None:
    """Send it."""
    with path.open("rb") as file:
        sent = await aiotus.upload(
            url,
            file,
            {"file_id": path.stem.encode(), "filetype": b"application/dicom"},
            headers={"Authorization": f"Bearer {os.environ['TOKEN']}"},
            config=aiotus.RetryConfiguration(retry_attempts=100, max_retry_period_seconds=0.2),
            chunksize=500_000,
        )
    assert sent is not None, "it gave up"


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], Path(sys.argv[2])))
