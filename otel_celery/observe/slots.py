"""Whether a pool keeps whoever submits a task waiting, since every slot of it is taken."""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def holds_up(pool: Any, active: Callable[[], int]) -> bool:
    """Tell whether the consumer, submitting a task to this pool of Celery's now, would have to wait for a slot.

    gevent's, eventlet's and billiard's pools know it themselves, also of tasks that somebody else's strategy runs. A
    prefork pool on Celery's event loop and a pool of threads never keep anybody waiting. Of a pool that we do not know
    it is taken from ``active``, the number of tasks that Celery counts as running.
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
