"""The monitoring stack's real servers, as ordinary processes on free ports, run with the files that compose mounts.

A file is committed with the documented addresses (``localhost:9090``). `repointed` is the one place where a test
changes them, in a file or a command: each ``host:port`` becomes ``127.0.0.1`` and a port that is free now, a port that
stands apart from its host (``--port 6379``) such a port, and nothing else changes. (Intervals: `intervals`.)
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import services
from tests.services import LOOPBACK, free_port, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "devops" / "monitoring"

PORT = re.compile(
    r"(?:(?P<host>(?<![\w.])(?<!\w-)(?:localhost|127\.0\.0\.1|host\.docker\.internal|\*)):"
    r"|(?P<apart>--port |-p |\bport=|_PORT=|_PORT:-))(?P<port>\d{2,5})(?![\w.])"
)
"""A port behind a host (a loopback name, Docker Desktop's name of the host, or nginx's ``*``), or apart from it."""

CONFIGURATION = {".yml", ".conf"}
"""The endings of files that have addresses in them."""

PATIENCE = 60.0
OK = 200


class FreePorts(dict[int, int]):
    """Gives each documented port a free one, the same each time that it is asked."""

    def __missing__(self, documented: int) -> int:
        """Ask the kernel for one that nobody has been given here."""
        port = free_port()
        while port in self.values():
            port = free_port()
        self[documented] = port
        return port


def repointed(text: str, ports: Mapping[int, int]) -> str:
    """Replace each port by the one that stands for it here, and the host in front of it by the loopback."""

    def here(match: re.Match[str]) -> str:
        before = f"{LOOPBACK}:" if match["host"] else match["apart"]
        return f"{before}{ports[int(match['port'])]}"

    return PORT.sub(here, text)


def copied(copy: Path, ports: Mapping[int, int]) -> Path:
    """Copy devops/monitoring, its configuration with the ports that stand for the documented ones; return the copy."""
    shutil.copytree(MONITORING, copy)
    for file in copy.rglob("*"):
        if file.suffix in CONFIGURATION:
            file.write_text(repointed(file.read_text(), ports))
    return copy


def wait_until(what: Callable[[], Any], sentence: str, seconds: float = PATIENCE) -> Any:
    """Wait until something is true, and return it; say what it was if it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} s: {sentence}")


@dataclass
class Server:
    """A server that runs: where it listens, what it logs, and who may ask it."""

    port: int
    process: subprocess.Popen[bytes] = field(repr=False)
    log_path: Path
    credentials: str | None = None
    """``user:password``, where it asks for one."""

    @property
    def address(self) -> str:
        """Give ``host:port``."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """Give the URL."""
        return f"http://{self.address}"

    @property
    def log(self) -> str:
        """Read what the server has logged so far."""
        return self.log_path.read_text(errors="replace")

    def get(self, path: str, **parameters: str) -> tuple[int, str]:
        """Ask for a path; return the status and the body."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return fetch(f"{self.url}{path}{query}", self.credentials)

    def api(self, path: str, **parameters: str) -> Any:
        """Ask Prometheus's HTTP API (VictoriaMetrics has the same), and return the data of its answer."""
        status, body = self.get(f"/api/v1/{path}", **parameters)
        assert status == OK, f"{path} {parameters}: {status} {body}"
        return json.loads(body)["data"]

    def query(self, promql: str, **parameters: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query: dictionaries with ``metric`` (the labels) and ``value``."""
        return query(self.url, promql, credentials=self.credentials, **parameters)

    def value(self, promql: str) -> float | None:
        """Return the one value of an instant query; None where there is none."""
        samples = self.query(promql)
        assert len(samples) < 2, samples
        return float(samples[0]["value"][1]) if samples else None

    def wait_for(self, promql: str, sentence: str, seconds: float = PATIENCE) -> list[dict[str, Any]]:
        """Wait until a query answers with samples, and return them."""
        samples: list[dict[str, Any]] = wait_until(
            lambda: self.query(promql), f"{sentence}: {promql}\n{self.log[-2000:]}", seconds
        )
        return samples

    def targets(self, job: str | None = None) -> list[dict[str, Any]]:
        """List the active targets, of one job or of all."""
        found = self.api("targets", state="active")["activeTargets"]
        return [target for target in found if job in {None, target["labels"]["job"]}]


def fetch(
    url: str, credentials: str | None = None, *, method: str = "GET", headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Fetch a URL; return the status and the body, whatever the status is."""
    request = urllib.request.Request(url, method=method, headers=dict(headers or {}))
    if credentials is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(credentials.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def query(url: str, promql: str, *, credentials: str | None = None, **parameters: str) -> list[dict[str, Any]]:
    """Send an instant query to Prometheus or VictoriaMetrics; return its samples.

    Raises AssertionError with the server's own words when it refuses the expression.
    """
    full = urllib.parse.urlencode({"query": promql, **parameters})
    status, body = fetch(f"{url}/api/v1/query?{full}", credentials)
    assert status == OK, f"{promql}: {status} {body}"
    result: list[dict[str, Any]] = json.loads(body)["data"]["result"]
    return result


def prometheus_binary(version: str = "3.13") -> str:
    """Find Prometheus: ``3.13`` is what compose pins, built from its module; ``2.42`` is Debian 12's."""
    if version == "2.42":
        return require(shutil.which("prometheus"), "Prometheus is not installed: apt-get install prometheus")
    return services.built("prometheus")


def debian(program: str, package: str) -> str:
    """Find a program of a Debian package."""
    return require(shutil.which(program), f"{program} is not installed: apt-get install {package}")


def htpasswd(user: str, password: str) -> str:
    """Print a user's line with the command that web-config.yml and the nginx example name, at a cost for tests."""
    program = debian("htpasswd", "apache2-utils")
    command = [program, "-nbBC", "4", user, password]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def start(
    command: Sequence[str],
    port: int,
    directory: Path,
    *,
    ready: str = "/-/ready",
    environ: Mapping[str, str] | None = None,
    credentials: str | None = None,
) -> Iterator[Server]:
    """Start a server, and wait until the path ``ready`` answers; its log is ``<program>-<port>.log``."""
    log = directory / f"{Path(command[0]).name}-{port}.log"

    def answers() -> bool:
        try:
            return fetch(f"http://{LOOPBACK}:{port}{ready}", credentials)[0] == OK
        except OSError:
            return False

    with services._child(command, log, {**os.environ, **(environ or {})}, answers) as process:
        yield Server(port, process, log, credentials)


@contextmanager
def start_prometheus(
    config: str | Path,
    directory: Path,
    *,
    version: str = "3.13",
    port: int | None = None,
    arguments: Sequence[str] = (),
    credentials: str | None = None,
) -> Iterator[Server]:
    """Start Prometheus with a configuration's text, or with a file whose relative paths then count from where it is.

    A text is written to ``prometheus.yml`` in the directory, beside which its rule files have to stand.
    """
    file = config if isinstance(config, Path) else directory / "prometheus.yml"
    if isinstance(config, str):
        file.write_text(config)
    number = port or free_port()
    command = [prometheus_binary(version), f"--config.file={file}", f"--web.listen-address={LOOPBACK}:{number}"]
    command += [f"--storage.tsdb.path={directory / f'tsdb-{number}'}", *arguments]
    with start(command, number, directory, credentials=credentials) as server:
        yield server


@contextmanager
def start_alertmanager(config: str | Path, directory: Path, *, port: int | None = None) -> Iterator[Server]:
    """Start Debian's Alertmanager with a configuration's text, or with a file."""
    file = config if isinstance(config, Path) else directory / "alertmanager.yml"
    if isinstance(config, str):
        file.write_text(config)
    number = port or free_port()
    command = [debian("prometheus-alertmanager", "prometheus-alertmanager"), f"--config.file={file}"]
    command += [f"--storage.path={directory / f'alertmanager-{number}'}", "--cluster.listen-address="]
    with start([*command, f"--web.listen-address={LOOPBACK}:{number}"], number, directory) as server:
        yield server
