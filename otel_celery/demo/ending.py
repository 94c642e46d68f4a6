"""How the demo ends: what runs may finish for a moment and is then cut off, since nobody needs its result."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from otel_celery.settings.settings import EX_CONFIG

if TYPE_CHECKING:
    from otel_celery.pools.runner import Runner

FINISH = 2.5
"""Seconds that the running tasks have to finish: the longest of the demo's take three."""
LEAVE = 1.0
"""Seconds that workers have to leave after a cold shutdown, before they are killed.

With what is left to do then the demo is over five seconds after it was told to stop. Left alone, Celery's own warm
shutdown may hang for 30 s (docs/architecture.md).
"""
STOPPING = f"Stopping: tasks have {FINISH:g} s to finish; Ctrl-C once more cuts them off now."


class Ending:
    """Ends the pools of a demo within seconds, once they have been told to stop."""

    def __init__(self, runner: Runner) -> None:
        """Watch over this runner."""
        self._runner = runner
        self._asked = 0.0
        self._was_late = False

    async def hasten(self, over: asyncio.Event) -> None:
        """Wait until the pools are to stop, and see that they are over soon: by a cold shutdown, then by SIGKILL."""
        await self._runner.stopping.wait()
        self._asked = time.monotonic()
        for seconds in (FINISH, LEAVE):
            try:
                await asyncio.wait_for(over.wait(), seconds)
            except asyncio.TimeoutError:
                self._was_late = self._was_late or not self._runner.is_cut_off
                self._runner.stop()
            else:
                return

    def status(self, status: int) -> int:
        """Judge the pools' exit status: that something was cut off, by us or by the user, is no failure."""
        return 0 if self._runner.is_cut_off and status != EX_CONFIG else status

    def said(self) -> str:
        """Say how it ended."""
        return f"Stopped after {time.monotonic() - self._asked:.1f} s{self._why()}."

    def _why(self) -> str:
        if self._was_late:
            return f"; what was not over within {FINISH:g} s was cut off, since this is a demo"
        return "; what was not over at the second request was cut off" if self._runner.is_cut_off else ""
