"""Whether a pool has a slot left, asked of the pools that Celery's are made of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from billiard.pool import LaxBoundedSemaphore
from celery.concurrency.base import BasePool
from celery.concurrency.thread import TaskPool as Threads

from otel_celery.observe.slots import holds_up


def never() -> int:
    """Fail if Celery's sets are asked: the pool itself knows better."""
    raise AssertionError


def test_gevents_pool_knows() -> None:
    """Greenlets that nobody else counts take slots, too; and the pool may grow and shrink."""
    inner = pytest.importorskip("gevent.pool").Pool(2)
    pool = SimpleNamespace(_pool=inner, num_processes=2)
    spawned = [inner.spawn(lambda: None)]
    assert not holds_up(pool, never)
    spawned.append(inner.spawn(lambda: None))
    assert holds_up(pool, never)
    inner.size = 3
    assert not holds_up(pool, never)
    inner.size = 1
    assert holds_up(pool, never)
    inner.join()
    assert not holds_up(pool, never)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_eventlets_pool_knows() -> None:
    """Its semaphore counts."""
    inner = pytest.importorskip("eventlet.greenpool").GreenPool(2)
    pool = SimpleNamespace(_pool=inner, num_processes=2)
    assert not holds_up(pool, never)
    inner.sem.acquire()
    inner.sem.acquire()
    assert holds_up(pool, never)
    inner.sem.release()
    assert not holds_up(pool, never)


def test_billiards_pool_knows_where_it_has_no_event_loop() -> None:
    """There the consumer acquires a semaphore; with ``worker_pool_putlocks`` off, or an event loop, it never does."""
    lock = LaxBoundedSemaphore(1)
    pool = SimpleNamespace(_pool=SimpleNamespace(_putlock=lock), putlocks=True, num_processes=1)
    assert not holds_up(pool, never)
    lock.acquire()
    assert holds_up(pool, never)
    pool.putlocks = False
    assert not holds_up(pool, never)


def test_a_pool_of_threads_takes_everything() -> None:
    """Its executor has a queue without end: a loop that stands still does so for another reason."""
    pool = Threads(1)
    try:
        pool.executor.submit(lambda: None)
        assert not holds_up(pool, lambda: 1)
    finally:
        pool.on_stop()


@pytest.mark.parametrize(
    "pool",
    [BasePool(2), SimpleNamespace(_pool=SimpleNamespace(_putlock=object()), putlocks=True, num_processes=2)],
    ids=["unknown", "billiard's private name is gone"],
)
def test_of_any_other_pool_celerys_count_tells(pool: Any) -> None:
    """A pool of somebody's own has as many slots as it says."""
    assert not holds_up(pool, lambda: 1)
    assert holds_up(pool, lambda: 2)
    assert holds_up(pool, lambda: 3), "it has just shrunk"


@pytest.mark.parametrize("pool", [None, SimpleNamespace(), SimpleNamespace(num_processes=None)])
def test_a_pool_without_slots_holds_nobody_up(pool: Any) -> None:
    """Before the pool exists, and where it does not say how large it is."""
    assert not holds_up(pool, lambda: 5)
