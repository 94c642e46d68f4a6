"""Where remote write ends: a real Prometheus, and a real VictoriaMetrics."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.integration.worker.harness import wait_until
from tests.services import LOOPBACK, free_port, require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = "global: {scrape_interval: 1s}\n"


class Store:
    """A database on the loopback, which may be started later than others learn its address."""

    def __init__(self, directory: Path, port: int, write: str) -> None:
        """Know where it will listen."""
        self.url = f"http://{LOOPBACK}:{port}"
        self.write_url = self.url + write
        self.log_path = directory / "store.log"
        self.directory = directory
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Ask for the present values of an expression; each with its labels and its value."""
        found = self._ask(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        return [{"labels": row["metric"], "value": float(row["value"][1])} for row in found["data"]["result"]]

    def value(self, expression: str) -> float | None:
        """Ask for one number; None where there is none."""
        rows = self.query(expression)
        assert len(rows) <= 1, rows
        return rows[0]["value"] if rows else None

    def is_ready(self) -> bool:
        """Tell whether it answers queries."""
        assert self.process is None or self.process.poll() is None, self.log_path.read_text()[-3000:]
        try:
            return self.query("vector(1)") != []
        except OSError:
            return False

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)


class Prometheus(Store):
    """Debian's Prometheus, as a receiver of remote write; it may scrape besides."""

    def __init__(self, directory: Path, config: str = CONFIG) -> None:
        """Know where it will listen, and what it scrapes."""
        super().__init__(directory, free_port(), "/api/v1/write")
        self._config = config

    @contextmanager
    def running(self) -> Iterator[Prometheus]:
        """Serve."""
        program = require(shutil.which("prometheus"), "Prometheus is not installed: apt-get install prometheus")
        config = self.directory / "prometheus.yml"
        config.write_text(self._config)
        command = [program, f"--config.file={config}", f"--storage.tsdb.path={self.directory / 'tsdb'}"]
        command += [f"--web.listen-address={LOOPBACK}:{self.port}", "--web.enable-remote-write-receiver"]
        command += ["--enable-feature=native-histograms"]  # which this version stores only if asked to
        with _process(self, command):
            yield self


class VictoriaMetrics(Store):
    """Debian's VictoriaMetrics."""

    def __init__(self, directory: Path) -> None:
        """Know where it will listen."""
        super().__init__(directory, free_port(), "/api/v1/write")

    @contextmanager
    def running(self) -> Iterator[VictoriaMetrics]:
        """Serve."""
        needed = "VictoriaMetrics is not installed: apt-get install victoria-metrics"
        program = require(shutil.which("victoria-metrics"), needed)
        command = [
            program,
            f"-storageDataPath={self.directory / 'victoria'}",
            f"-httpListenAddr={LOOPBACK}:{self.port}",
        ]
        with _process(self, [*command, "-search.latencyOffset=0s", "-retentionPeriod=1"]):
            yield self

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Ask, after what was written has been made visible, which takes seconds otherwise."""
        with urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=10):
            return super().query(expression)


@contextmanager
def _process(store: Store, command: list[str]) -> Iterator[None]:
    with store.log_path.open("ab") as out:
        store.process = subprocess.Popen(
            command, cwd=store.directory, env=os.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        wait_until(store.is_ready, f"{command[0]} answers", 60)
        yield
    finally:
        store.process.kill()
        store.process.wait()
        store.process = None
