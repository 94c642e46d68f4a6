"""One command kept running, with small commands in a worker's place."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import time
from pathlib import Path

import pytest

from otel_celery.pools import backoff, keeper
from otel_celery.pools.command import Command
from otel_celery.pools.keeper import Keeper, described
from tests.integration.worker.harness import wait_until


class Told:
    """Keeps the lines, and acts when one of them comes."""

    def __init__(self, script: str) -> None:
        """Keep this shell script running."""
        self.lines: list[str] = []
        self.keeper = Keeper(Command("x", ("sh", "-c", script), os.environ), self._say)
        self._reactions: list[tuple[str, signal.Signals]] = []

    def stop_at(self, line: str, signum: signal.Signals) -> Told:
        """Stop with a signal when the line comes."""
        self._reactions.append((line, signum))
        return self

    def run(self) -> int:
        """Run to the end."""
        return asyncio.run(asyncio.wait_for(self.keeper.run(), 20))

    def _say(self, line: bytes) -> None:
        self.lines.append(line.decode())
        if self._reactions and self.lines.count(self._reactions[0][0]) == 1 and self.lines[-1] == self._reactions[0][0]:
            self.keeper.stop(self._reactions.pop(0)[1])


def said(told: Told) -> list[str]:
    """Leave out the process ids."""
    return ["x started" if line.startswith("x started, process ") else line for line in told.lines]


def test_a_death_is_said_and_followed_by_a_start() -> None:
    """The second life prints what the first left for it."""
    told = Told("echo hello; kill -9 $$").stop_at(
        "x died (killed by SIGKILL): starting it again in 1 s", signal.SIGTERM
    )
    assert told.run() == 0
    assert said(told) == ["x started", "hello", "x died (killed by SIGKILL): starting it again in 1 s"]
    assert told.keeper.has_died


def test_a_command_that_died_lives_again(tmp_path: Path) -> None:
    """After the wait it is started as before."""
    mark = tmp_path / "mark"
    told = Told(f"test -e {mark} && echo again && exec sleep 60; touch {mark}; exit 1").stop_at("again", signal.SIGTERM)
    assert told.run() == -signal.SIGTERM
    assert said(told) == [
        "x started",
        "x died (exit status 1): starting it again in 1 s",
        "x started",
        "again",
        "x stopped (killed by SIGTERM)",
    ]


@pytest.mark.parametrize("status", [2, 78])
def test_a_command_that_cannot_be_right_is_given_up(status: int) -> None:
    """Celery's status for an app it cannot load, and ours for bad settings, would come again and again."""
    told = Told(f"exit {status}")
    assert told.run() == status
    assert said(told)[1:] == [
        f"x cannot run as it is configured (exit status {status}): not starting it again",
    ]


def test_a_line_without_an_end_is_passed_on() -> None:
    """The last words of a worker count most."""
    told = Told("printf 'last words'; exit 2")
    told.run()
    assert "last words" in told.lines


def test_a_line_of_any_length_does_not_stop_the_listening() -> None:
    """Three megabytes without a newline arrive in pieces."""
    told = Told("head -c 3000000 /dev/zero | tr '\\0' x; exit 2")
    told.run()
    assert sum(len(line) for line in told.lines if set(line) == {"x"}) == 3_000_000


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="descriptors are counted in /proc")
@pytest.mark.parametrize("error", [OSError(errno.EAGAIN, "no more processes"), ValueError("embedded null byte")])
def test_a_start_that_fails_leaves_no_pipe(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """However often it is tried; it is said each time, and tried again."""

    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fail)
    monkeypatch.setattr(backoff, "FIRST", 0.0)  # no wait: 0 doubles to 0
    held = len(list(Path("/proc/self/fd").iterdir()))
    told = Told("exit 2")
    failures = 20

    def say(line: bytes) -> None:
        told.lines.append(line.decode())
        if len(told.lines) == 2 * failures:
            told.keeper.stop(signal.SIGTERM)

    told.keeper = Keeper(Command("x", ("x",), os.environ), say)
    told.run()
    assert told.lines[0] == f"x could not be started ({error})"
    assert len(list(Path("/proc/self/fd").iterdir())) == held


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_what_a_dead_worker_leaves_running_is_ended() -> None:
    """A child that outlives it would keep its port."""
    told = Told("sleep 60 & echo $!; exit 2")
    told.run()
    pid = next(line for line in told.lines if line.isdigit())
    stat = Path(f"/proc/{pid}/stat")

    def is_gone() -> bool:
        """Tell whether the process is no more, or a zombie."""
        with contextlib.suppress(OSError):
            return stat.read_text().rpartition(")")[2].split()[0] == "Z"
        return True

    wait_until(is_gone, "it is gone", 10)  # its SIGKILL has been sent; when it dies is the kernel's business


def test_what_an_ended_worker_leaves_running_is_killed_where_that_is_asked_for() -> None:
    """A child that ignores SIGTERM has seconds to end, but not once the worker is to be killed."""
    script = "(trap '' TERM; echo child; while true; do sleep 1; done) & wait"
    told = Told(script).stop_at("child", signal.SIGTERM)

    async def played() -> float:
        running = asyncio.create_task(told.keeper.run())
        await asyncio.to_thread(wait_until, lambda: "child" in told.lines, "it has begun", 10)
        await asyncio.to_thread(wait_until, lambda: told.keeper._process is None, "its parent has ended", 10)
        told.keeper.stop(signal.SIGKILL)
        begun = time.monotonic()
        await running
        return time.monotonic() - begun

    assert asyncio.run(asyncio.wait_for(played(), 20)) < keeper.LEFTOVERS


def test_a_signal_is_told_by_its_name() -> None:
    """Numbers only where there is no name."""
    assert [described(status) for status in (0, 78, -9, -40)] == [
        "exit status 0",
        "exit status 78",
        "killed by SIGKILL",
        "killed by signal 40",
    ]
