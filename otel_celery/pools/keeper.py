"""Keep one pool's worker running: start it, pass on its output, start it again when it dies, stop it when asked."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from otel_celery.pools.backoff import Backoff
from otel_celery.pools.command import leashed
from otel_celery.settings.settings import EX_CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.pools.command import Command

USAGE = 2
HOPELESS = frozenset({USAGE, EX_CONFIG})
"""Exit statuses of a misconfigured worker, which is not started again: Celery's for an unloadable app, and ours."""

LEFTOVERS = 5.0
"""Seconds that the remaining processes of an ended worker have to end after SIGTERM, and again after SIGKILL."""

CHUNK = 1 << 16
"""Bytes of output read at once."""
LONGEST_LINE = 1 << 20
"""Bytes of a line at most; a longer one is cut into several."""


class Keeper:
    """Keeps one command running until it is asked to stop."""

    def __init__(
        self, command: Command, say: Callable[[bytes], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare; ``run`` starts the command. ``say`` gets each line of its output, and ours about it."""
        self._command = command
        self._say = say
        self._clock = clock
        self._backoff = Backoff()
        self._asked: signal.Signals | None = None
        self._woken = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._group: int | None = None
        """The process group of the command, as long as a process of it may be left."""
        self.has_died = False
        """Whether the command ever ended without being asked to, or could not be started."""

    async def run(self) -> int:
        """Keep the command running; return its last exit status, the negative signal number if a signal ended it."""
        while self._asked is None:
            started = self._clock()
            try:
                status = await self._live()
            except (OSError, ValueError) as error:  # no process or descriptor left for now; or a NUL in an argument
                self._tell(f"could not be started ({error})")
                status = 1
            if self._asked is not None:
                self._tell(f"stopped ({described(status)})")
                return status
            self.has_died = True
            if status in HOPELESS:
                self._tell(f"cannot run as it is configured ({described(status)}): not starting it again")
                return status
            wait = self._backoff.after(self._clock() - started)
            self._tell(f"died ({described(status)}): starting it again in {wait:g} s")
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._woken.wait(), wait)
        return 0

    def stop(self, signum: signal.Signals) -> None:
        """Send the command a signal, and do not start it again; SIGKILL goes to all of its processes."""
        self._asked = signum
        self._woken.set()
        self._send(signum)

    async def _live(self) -> int:
        """Run the command once, until it ends; return its exit status."""
        reading, writing = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *leashed(self._command.argv, signal.SIGTERM),
                env=self._command.environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,  # the terminal's Ctrl-C reaches us alone, and is passed on once
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        process, self._group = self._process, self._process.pid
        lines = asyncio.create_task(self._listen(reading))
        self._tell(f"started, process {process.pid}")
        if self._asked is not None:  # stop() was called meanwhile
            self._send(self._asked)
        status = await process.wait()
        self._process = None
        await self._sweep(process.pid, lines)
        self._group = None
        return status

    async def _listen(self, reading: int) -> None:
        """Pass the lines on, until no process has the other end of the pipe open."""
        reader = asyncio.StreamReader()
        pipe = os.fdopen(reading, "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            await self._pass_on(reader)
        finally:  # also when _sweep cancels this
            transport.close()

    async def _pass_on(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await reader.read(CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._say(line)
        if rest:
            self._say(rest)

    async def _sweep(self, group: int, lines: asyncio.Task[None]) -> None:
        """End the worker's remaining processes: the next worker needs their port, and nobody reads their results."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(group, signum)
            done, _ = await asyncio.wait({lines}, timeout=LEFTOVERS)
            if done:
                return
        lines.cancel()  # a process that left the process group still has the pipe open

    def _send(self, signum: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if signum is signal.SIGKILL and self._group is not None:
                os.killpg(self._group, signum)
            elif self._process is not None:
                os.kill(self._process.pid, signum)

    def _tell(self, sentence: str) -> None:
        self._say(f"{self._command.name} {sentence}".encode())


def described(status: int) -> str:
    """Describe the end of a process by its exit status."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
