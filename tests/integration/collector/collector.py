"""A real Collector: a file of collector/ as it stands, told where to listen by nothing but environment variables."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.worker.harness import Scrape, wait_until
from tests.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).parents[3] / "collector"
FILES = ("agent", "gateway", "traces")
LISTENERS = ("GRPC", "HTTP", "RING", "OUT", "PROMETHEUS", "HEALTH")
"""The variables OTELCOL_<...> that hold an address to listen on."""


class Collector:
    """One Collector, which may be stopped and started again on the same ports and the same disk."""

    def __init__(self, program: str, name: str, directory: Path, environment: Mapping[str, str]) -> None:
        """Choose the ports."""
        self.ports = {listener: free_port() for listener in (*LISTENERS, "TELEMETRY")}
        self.log_path = directory / f"{name}.log"
        self.command = [program, "--config", str(HERE / f"{name}.yaml")]
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("OTEL")},
            **{f"OTELCOL_{listener}": self.address(listener) for listener in LISTENERS},
            "OTELCOL_TELEMETRY_PORT": str(self.ports["TELEMETRY"]),
            "OTELCOL_RING_MEMBERS": f"[localhost:{self.ports['RING']}]",
            "OTELCOL_STORAGE": str(directory / f"{name}-storage"),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Read what it has logged so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        """Give the process id."""
        assert self._process is not None
        return self._process.pid

    def address(self, listener: str) -> str:
        """Give host and port of one of its listeners."""
        return f"{LOOPBACK}:{self.ports[listener]}"

    def get(self, listener: str, path: str) -> tuple[int, str]:
        """Ask one of its plain HTTP ports."""
        try:
            with urllib.request.urlopen(f"http://{self.address(listener)}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def scrape(self, listener: str = "PROMETHEUS") -> Scrape:
        """Scrape the workers' metrics, or with TELEMETRY the Collector's own."""
        status, text = self.get(listener, "/metrics")
        assert status == 200, text
        return Scrape(text)

    def is_healthy(self) -> bool:
        """Tell what the health check says."""
        assert self._process is None or self._process.poll() is None, self.log[-4000:]
        try:
            return self.get("HEALTH", "/")[0] == 200
        except OSError:
            return False

    def start(self) -> None:
        """Start it, and wait until it is healthy."""
        with self.log_path.open("ab") as out:
            self._process = subprocess.Popen(
                self.command, env=self.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        try:
            wait_until(self.is_healthy, "the Collector is healthy", 60)
        except AssertionError as error:
            message = f"{error}\n{self.log[-4000:]}"
            raise AssertionError(message) from None

    def refuses_to_start(self) -> str:
        """Start it where it must not come up; give what it said."""
        done = subprocess.run(self.command, env=self.environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode, done.stderr
        return done.stderr

    def stop(self) -> None:
        """Stop it as an operator does."""
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(60) == 0, self.log[-4000:]
            self._process = None

    def kill(self) -> None:
        """End it without a goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running(program: str, name: str, directory: Path, environment: Mapping[str, str]) -> Iterator[Collector]:
    """Start a Collector, and end it whatever happens."""
    collector = Collector(program, name, directory, environment)
    try:
        collector.start()
        yield collector
    finally:
        collector.kill()
