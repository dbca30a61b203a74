"""A real Prometheus over a folder, asking one gateway every second."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.lab import wait_until
from tools.ports import free_port

RULES = Path(__file__).parents[2] / "config" / "prometheus.rules.yml"


@dataclass(frozen=True)
class Prometheus:
    port: int

    def ask(self, path: str, **query: str) -> Any:
        """`data` of its answer."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def values(self, query: str) -> list[float]:
        return [float(one["value"][1]) for one in self.ask("query", query=query)["result"]]

    def is_up(self) -> bool:
        try:
            return self.values("up") == [1.0]
        except OSError:
            return False


@contextmanager
def prometheus(folder: Path, gateway_url: str, token: str) -> Iterator[Prometheus]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.fail("Prometheus is needed: apt-get install prometheus")
    folder.mkdir()
    (folder / "token").write_text(token)
    config = folder / "prometheus.yml"
    config.write_text(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{RULES}"]
scrape_configs:
  - job_name: relaypacs
    authorization: {{credentials_file: token}}
    static_configs: [{{targets: ["{urlsplit(gateway_url).netloc}"]}}]
""")
    here = Prometheus(free_port())
    words = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *words, f"--web.listen-address=127.0.0.1:{here.port}"], stdout=log, stderr=log
        )
    try:
        wait_until("Prometheus asks the gateway", here.is_up, 30)
        yield here
    finally:
        process.kill()
        process.wait()
