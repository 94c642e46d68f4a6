"""How a worker is, by the levels of its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.watch import families
from otel_celery.watch.model import State

if TYPE_CHECKING:
    from collections.abc import Mapping


def of(levels: Mapping[str, float | None], stall: float, *, is_first: bool) -> tuple[State, str]:
    """Tell a state, and why it is not up; one whose loop stands still for longer than ``stall`` seconds is stuck.

    Not by its first answer: one that could not answer (SIGSTOP, a paused host) tells there of a stall that is over.
    """
    if levels[families.DRAINING]:
        return State.DRAINING, "it was told to stop, and lets the running tasks finish"
    if not levels[families.UP]:
        return State.STARTING, "it is not ready; it starts, or has no broker yet"
    if levels[families.CONNECTED] == 0:
        return State.NO_BROKER, "it has lost its broker, and takes no tasks"
    stood = levels[families.STALL] or 0
    if stood > stall and not is_first:
        return State.STUCK, f"its event loop has stood still for {stood:.0f} s though a slot is free"
    return State.UP, ""
