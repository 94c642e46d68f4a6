"""Run several pools together: with one output, one signal that stops all, and one exit status."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import datetime
from typing import TYPE_CHECKING

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from otel_celery.pools.keeper import HOPELESS, Keeper
from otel_celery.settings.settings import EX_CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from otel_celery.pools.command import Command

STEPS = (
    (signal.SIGTERM, "warm shutdown: the running tasks finish; once more for a cold one"),
    (signal.SIGQUIT, "cold shutdown: the running tasks are cut off; once more to kill"),
    (signal.SIGKILL, "killing the workers"),
)
"""For the first, second and third request to stop: the signal to pass on, and the sentence to print."""

ECHO = 0.3
"""Seconds in which a second signal counts as a copy of the first: npm passes on a Ctrl-C that reaches us anyway."""


class Runner:
    """Runs commands together until they are asked to stop."""

    def __init__(
        self,
        commands: Sequence[Command],
        output: TextIO,
        *,
        colour: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to write to ``output``, in colour if it is a terminal; ``run`` starts the commands."""
        self._printer = Printer(output, width=max(len(c.name) for c in commands), colour=colour)
        self._keepers = [self._keeper(c, colour) for c, colour in zip(commands, get_colours(), strict=False)]
        self._clock = clock
        self._asked: list[float] = []
        self.stopping = asyncio.Event()

    @property
    def has_lost(self) -> bool:
        """Tell whether any of the commands has ended without being asked to."""
        return any(keeper.has_died for keeper in self._keepers)

    @property
    def is_cut_off(self) -> bool:
        """Tell whether it was asked to stop more than once: then the running tasks do not finish."""
        return len(self._asked) > 1

    async def run(self) -> int:
        """Run until all commands have ended; return the exit status."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self.stop)
        try:
            statuses = await asyncio.gather(*(keeper.run() for keeper in self._keepers))
            return summary(statuses, cut_off=self.is_cut_off)
        finally:
            for signum in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(signum)

    def stop(self) -> None:
        """Stop the workers: the first call is a warm shutdown, the second a cold one, the third kills."""
        now = self._clock()
        if self._asked and now - self._asked[-1] < ECHO:
            return
        signum, sentence = STEPS[min(len(self._asked), len(STEPS) - 1)]
        self._asked.append(now)
        self.stopping.set()
        self._print("", sentence.encode(), None)
        for keeper in self._keepers:
            keeper.stop(signum)

    def _keeper(self, command: Command, colour: str) -> Keeper:
        return Keeper(command, lambda line: self._print(command.name, line, colour))

    def _print(self, name: str, line: bytes, colour: str | None) -> None:
        message = Message("line", line, datetime.now().astimezone(), name, colour)
        try:
            self._printer.write(message)
        except BrokenPipeError:
            if not self.stopping.is_set():  # the reader has gone: `otel-celery pools up | head`
                self.stop()


def summary(statuses: Sequence[int], *, cut_off: bool) -> int:
    """Combine the workers' last exit statuses: 0 all stopped well, 78 one was misconfigured, 1 otherwise.

    Celery ends a cold shutdown with 0 too, so ``cut_off`` says whether there was one. A worker that died of SIGTERM
    counts as stopped well: it had not installed its handler yet, and so had no task.
    """
    if any(status in HOPELESS for status in statuses):
        return EX_CONFIG
    return int(cut_off or any(status not in {0, -signal.SIGTERM} for status in statuses))
