"""Count the exits of prefork pool children, each once and by reason, without waiting on a process.

A child's exit status goes to the one caller that waits on it, and that must be billiard. So each Process object is
remembered from its start, and its ``_popen.returncode`` is read once billiard has set it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import billiard
from billiard import util as billiard_util
from celery.concurrency import ALIASES, get_implementation

from otel_celery.lifecycle import Exit

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

RECYCLED_STATUS = 155
"""billiard.pool.EX_RECYCLE: the child reached max-tasks-per-child or max-memory-per-child."""


def has_processes(worker: Any) -> bool:
    """Tell whether the worker's pool is prefork, or a subclass of it.

    Works before Celery has resolved the pool's name to a class.
    """
    pool: Any = ALIASES.get(worker.pool_cls, worker.pool_cls) if isinstance(worker.pool_cls, str) else worker.pool_cls
    if isinstance(pool, str) and pool.startswith("celery.concurrency."):
        return bool(pool == ALIASES["prefork"])  # without importing gevent's or eventlet's
    return any(base.__module__ == "celery.concurrency.prefork" for base in get_implementation(pool).__mro__)


def starts_beat(worker: Any) -> bool:
    """Tell whether the worker starts a beat (``-B``), which is a process of its own on every pool."""
    return bool(worker.options.get("beat"))


def forks_processes(worker: Any) -> bool:
    """Tell whether the worker's pool forks its processes, and does not spawn them."""
    methods = {getattr(worker, "pool_start_method", None), billiard.get_start_method()}
    return has_processes(worker) and methods <= {None, "fork"}


def collects_before_forks(worker: Any) -> bool:
    """Tell whether Celery collects garbage before it forks each child: its pool for event loops does.

    Source: celery.concurrency.asynpool, ``AsynPool._create_worker_process``.
    """
    return forks_processes(worker) and bool(getattr(worker, "use_eventloop", False))


def warm_up() -> None:
    """Have imported what each forked child would import as it begins: where cffi is installed, billiard parses C by it.

    That takes 3 MiB in each child, and 15 ms of CPU, which all of them want at once while the worker starts. The signal
    that a child gets at its parent's death is only read here.
    """
    with contextlib.suppress(Exception):  # no Linux; or billiard has moved it
        billiard_util.get_pdeathsig()


def surround_starts(pool: Any, starting: Callable[[], AbstractContextManager[None]]) -> None:
    """Start each of the pool's children inside this context, on any thread; call before the first start."""
    for name in ("Pool", "BlockingPool"):
        made = getattr(pool, name, None)
        if isinstance(made, type):
            setattr(pool, name, _surrounded(made, starting))


def _surrounded(base: Any, starting: Callable[[], AbstractContextManager[None]]) -> type:
    class Surrounded(base):
        def _create_worker_process(self, i: int) -> Any:
            with starting():
                return super()._create_worker_process(i)

    return type(base.__name__, (Surrounded,), {"__module__": base.__module__})


class Children:
    """Watches the processes of one pool. A pool without processes has no exits to count."""

    def __init__(self, pool: Callable[[], Any], exited: Callable[[Exit], None]) -> None:
        """``pool`` returns Celery's pool, or None before it exists; ``exited`` is called once for each exit."""
        self._pool = pool
        self._exited = exited
        self._known: dict[int, Any] = {}
        self._timed_out: set[int] = set()

    def timed_out(self, pid: int | None) -> None:
        """Note that a child is being killed for its hard time limit."""
        if pid in self._known:
            self._timed_out.add(pid)

    def look(self) -> None:
        """Count the children that have exited, and remember the new ones."""
        for pid, process in list(self._known.items()):
            status = getattr(getattr(process, "_popen", None), "returncode", None)
            if status is not None and self._known.pop(pid, None) is not None:
                self._exited(self._reason(pid, status))
        processes: list[Any] = list(getattr(getattr(self._pool(), "_pool", None), "_pool", None) or ())
        for process in processes:
            popen = getattr(process, "_popen", None)
            if popen is not None and popen.returncode is None:
                self._known[popen.pid] = process

    def _reason(self, pid: int, status: int) -> Exit:
        if pid in self._timed_out:
            self._timed_out.discard(pid)
            return Exit.TIMED_OUT
        if status == RECYCLED_STATUS:
            return Exit.RECYCLED
        return Exit.KILLED if status < 0 else Exit.EXITED
