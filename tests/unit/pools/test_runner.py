"""Several commands at once: one output, one way to stop, one status."""

from __future__ import annotations

import asyncio
import io
import os
import signal

import pytest

from otel_celery.pools.command import Command
from otel_celery.pools.runner import Runner, summary


@pytest.mark.parametrize(
    ("statuses", "cut_off", "expected"),
    [
        ([0, 0], False, 0),
        ([0, -signal.SIGTERM], False, 0),
        ([0, 0], True, 1),
        ([0, 1], False, 1),
        ([0, -signal.SIGKILL], False, 1),
        ([0, 78], False, 78),
        ([2, 1], True, 78),
    ],
)
def test_one_status_is_made_of_several(statuses: list[int], cut_off: bool, expected: int) -> None:  # noqa: FBT001  a case
    """0 where everything went well, 78 where starting again would not help, 1 else."""
    assert summary(statuses, cut_off=cut_off) == expected


class Terminal(io.StringIO):
    """Says that it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def run(output: io.StringIO, *scripts: str) -> int:
    """Run shell scripts under the names a, bb, ccc."""
    names = ("a", "bb", "ccc")
    commands = [Command(name, ("sh", "-c", script), os.environ) for name, script in zip(names, scripts, strict=False)]
    return asyncio.run(asyncio.wait_for(Runner(commands, output).run(), 20))


def test_each_line_begins_with_the_name_of_its_pool() -> None:
    """The names are as wide as the widest, after the time."""
    output = io.StringIO()
    assert run(output, "echo one; exit 78", "echo two; exit 78") == 78
    lines = {line.split(" ", 1)[1] for line in output.getvalue().splitlines()}
    assert {"a  | one", "bb | two"} <= lines


def test_a_terminal_gets_a_colour_a_pool() -> None:
    """The colours differ; a file gets none."""
    terminal, file = Terminal(), io.StringIO()
    run(terminal, "echo one; exit 78", "echo two; exit 78")
    run(file, "echo one; exit 78")
    prefixes = {line.split("m", 2)[1] for line in terminal.getvalue().splitlines() if line.endswith(("one", "two"))}
    assert len(prefixes) == 2
    assert "\033" not in file.getvalue()


def test_a_second_signal_at_once_is_an_echo_of_the_first() -> None:
    """Npm passes on the Ctrl-C that the terminal sent to everybody; a third request kills."""
    now = iter([10.0, 10.1, 11.0, 12.0, 13.0])
    output = io.StringIO()
    runner = Runner([Command("a", ("true",), {})], output, clock=lambda: next(now))
    for _ in range(5):
        runner.stop()
    assert [line.split("| ")[1].split(":")[0] for line in output.getvalue().splitlines()] == [
        "warm shutdown",
        "cold shutdown",
        "killing the workers",
        "killing the workers",
    ]


class Closed(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, text: str) -> int:
        """Refuse."""
        raise BrokenPipeError(text)


def test_workers_stop_when_nobody_reads_them_any_more() -> None:
    """`otel-celery pools up | head` ends."""
    assert run(Closed(), "exec sleep 60") == 0
