"""A real RabbitMQ for the tests: a node with an epmd of its own, its command line, and its management API."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.services import LOOPBACK, NOBODY, _accepts, _answer, _as_nobody, _child, free_port, require

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARIES = Path("/usr/lib/rabbitmq/bin")
SERVER = str(BINARIES / "rabbitmq-server")
"""Debian's; the wrapper on PATH insists on root or a user of its own."""
MANAGEMENT = """
management.tcp.ip = {host}
management.tcp.port = {port}
collect_statistics_interval = 500
"""


@dataclass
class Node:
    """A broker that can be killed, started again with what it had on disk, and asked by its own tool."""

    home: Path
    environ: dict[str, str]
    port: int
    management_port: int
    running: ExitStack = field(default_factory=ExitStack)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Name it as a broker."""
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}//"

    @property
    def management(self) -> str:
        """Name its management API."""
        return f"http://guest:guest@{LOOPBACK}:{self.management_port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [*_as_nobody(), SERVER]
        child = _child(command, self.home / "rabbitmq.out", self.environ, lambda: _speaks_amqp(self.port))
        self.process = self.running.enter_context(child)

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def empty(self) -> None:
        """Delete all queues, by the management API: its own tool would start an Erlang machine for each question."""
        for queue in json.loads(self._managed("GET", "/api/queues?columns=name")):
            self._managed("DELETE", f"/api/queues/%2F/{quote(queue['name'], safe='')}")

    def queues(self) -> dict[str, dict[str, Any]]:
        """Ask its own tool for each queue's ready and unacknowledged messages, and consumers."""
        rows = self._listed("queues", "name", "messages_ready", "messages_unacknowledged", "consumers")
        return {row["name"]: row for row in rows}

    def connections(self) -> set[str]:
        """Ask its own tool for the connections: the name of each one's process in the broker."""
        return {row["pid"] for row in self._listed("connections", "pid")}

    def run(self, line: str) -> str:
        """Run a line of shell that begins with one of its tools, as its user on its host would; return what it says."""
        environ = {**self.environ, "PATH": f"{BINARIES}:{self.environ['PATH']}"}
        command = [*_as_nobody(), "bash", "-c", line]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout

    def _managed(self, method: str, path: str) -> bytes:
        credentials = base64.b64encode(b"guest:guest").decode()
        headers = {"Authorization": f"Basic {credentials}"}
        url = f"http://{LOOPBACK}:{self.management_port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers), timeout=30) as answer:
            body: bytes = answer.read()
        return body

    def _listed(self, what: str, *columns: str) -> list[dict[str, Any]]:
        command = [*_as_nobody(), str(BINARIES / "rabbitmqctl"), "--quiet", f"list_{what}", "--formatter", "json"]
        asked = subprocess.run([*command, *columns], env=self.environ, capture_output=True, text=True, check=True)
        rows: list[dict[str, Any]] = json.loads(asked.stdout)
        return rows


@contextmanager
def node(*, management: bool = False) -> Iterator[Node]:
    """Run a node; with ``management`` its API answers too."""
    require(shutil.which(SERVER), "RabbitMQ is not installed: apt-get install rabbitmq-server")
    epmd = require(shutil.which("epmd"), "epmd is not installed: apt-get install erlang-base")
    port, epmd_port, management_port = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        home = stack.enter_context(_home())
        environ = _environ(home, port, epmd_port)
        if management:
            (home / "enabled_plugins").write_text("[rabbitmq_management].\n")
            (home / "rabbitmq.conf").write_text(MANAGEMENT.format(host=LOOPBACK, port=management_port))
        mapper = [*_as_nobody(), epmd, "-address", LOOPBACK, "-port", str(epmd_port)]
        stack.enter_context(_child(mapper, home / "epmd.out", environ, lambda: _accepts(epmd_port)))
        made = Node(home, environ, port, management_port)
        stack.enter_context(made.running)
        made.start()
        yield made


@contextmanager
def _home() -> Iterator[Path]:
    """Make a directory that the broker's user may write, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="otel-celery-rabbitmq-") as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield Path(name)


def _environ(home: Path, port: int, epmd_port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": str(epmd_port),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RUNNING_UNDER_SYSTEMD": "true",  # no shell between us and the broker: its process id is the child's
    }


def _speaks_amqp(port: int) -> bool:
    """Tell whether a broker answers the protocol's header, which it does once it has booted."""
    return bool(_answer(port, b"AMQP\x00\x00\x09\x01"))
