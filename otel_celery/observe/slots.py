"""Detect a pool that holds up the consumer because all its slots are taken."""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def holds_up(pool: Any, active: Callable[[], int]) -> bool:
    """Tell whether the consumer would have to wait for a slot if it submitted a task to this Celery pool now.

    The pools of gevent, eventlet and billiard know it themselves, also for tasks that a custom Strategy runs. A prefork
    pool on Celery's event loop and a pool of threads never make the consumer wait. For an unknown pool its size is
    compared with ``active``, the number of tasks that Celery counts as running.
    """
    if isinstance(getattr(pool, "executor", None), futures.Executor):
        return False
    inner = getattr(pool, "_pool", None)
    free = getattr(inner, "free_count", None) or getattr(inner, "free", None)  # gevent's, or eventlet's
    if callable(free):
        return int(free()) <= 0
    if hasattr(inner, "_putlock") and not getattr(pool, "putlocks", True):
        return False
    left = getattr(getattr(inner, "_putlock", None), "_value", None)  # billiard's semaphore, which has no public count
    if isinstance(left, int):
        return left <= 0
    size = int(getattr(pool, "num_processes", None) or 0)
    return 0 < size <= active()
