"""A command with worker processes below it, watched from outside: its output, its processes, its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).parent
MARK = "OTEL_CELERY_TEST_FLEET"
"""A variable that every process below the command inherits, whoever its parent is by then."""

LAST_RESULTS = 30
"""Seconds for which Celery's own warm shutdown may hang: billiard's `_ensure_messages_consumed` (architecture.md)."""

LEFT_ALONE = 20 + LAST_RESULTS
"""Seconds that workers may take whose launcher was killed: they shut down warm, and nobody cuts them off."""

FOREIGN = ("OTEL_", "PROMETHEUS_")


class Fleet:
    """Starts a command; ends what is left of it at the end of the ``with``."""

    def __init__(self, command: Sequence[str], output: Path, environ: Mapping[str, str], cwd: Path = HERE) -> None:
        """Start it, with its output in a file."""
        self._mark = f"{MARK}={uuid.uuid4()}"
        self._output = output
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        name, _, value = self._mark.partition("=")
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**inherited, **environ, name: value},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Fleet:  # noqa: PYI034  Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        for pid in (self.process.pid, *self.alive()):
            if pid == self.process.pid and self.process.poll() is not None:
                continue
            os.kill(pid, signal.SIGKILL)
        self.process.wait(20)

    def said(self) -> str:
        """Give the output so far."""
        return self._output.read_text(errors="replace")

    def wait_for(self, pattern: str, times: int = 1, seconds: float = 40) -> list[str]:
        """Wait until the output has so many matches, and give them."""
        until(lambda: len(re.findall(pattern, self.said())) >= times, f"{times} x {pattern!r}", self.said, seconds)
        return re.findall(pattern, self.said())

    def end(self, seconds: float = 40 + LAST_RESULTS) -> int:
        """Wait for the command's end; give its status."""
        until(lambda: self.process.poll() is not None, "the command has ended", self.said, seconds)
        return self.process.returncode

    def alive(self) -> list[int]:
        """Find the processes below the command, itself among them; a zombie has no environment any more."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_ours(entry)]

    def gone(self, seconds: float = 15) -> None:
        """Wait until no process is left."""
        until(lambda: not self.alive(), "no process is left", self.said, seconds)

    def _is_ours(self, entry: Path) -> bool:
        try:
            return self._mark.encode() in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            return False


def until(condition: Callable[[], bool], what: str, said: Callable[[], str], seconds: float) -> None:
    """Wait for a condition, or fail with the output."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{said()[-4000:]}"
        time.sleep(0.05)


def otel_celery(*arguments: str) -> list[str]:
    """Make the command line of ours."""
    return [sys.executable, "-m", "otel_celery.cli", *arguments]
