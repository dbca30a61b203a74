"""`python -m tests.e2e.clients.with_tuspy TUS_URL FILE`: tuspy, with its own retries."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tusclient.client import TusClient


def main(url: str, path: str) -> None:
    """Send it."""
    client = TusClient(url, headers={"Authorization": f"Bearer {os.environ['TOKEN']}"})
    metadata = {"file_id": Path(path).stem, "filetype": "application/dicom"}
    client.uploader(path, chunk_size=500_000, metadata=metadata, retries=100, retry_delay=0.2).upload()


if __name__ == "__main__":
    main(*sys.argv[1:])
