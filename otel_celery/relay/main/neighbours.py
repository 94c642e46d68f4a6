"""The relays of all workers in this process, and the resources that they share.

These are the SDK's proxy binding, its ``on_set`` listener, and the environment variable. The newest living worker owns
them. A pool child belongs to the worker whose thread starts it.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from otel_celery.relay import sdk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, MetricsData


class Neighbour(Protocol):
    """The interface of a relay towards the other relays of its process."""

    providers: list[MeterProvider]
    is_ours: bool
    """Whether the first of its providers is not the application's."""

    @property
    def is_here(self) -> bool:
        """Tell whether it was made in this process."""

    @property
    def hears_children(self) -> bool:
        """Tell whether the relay listens for children."""

    def adopt(self, provider: Any) -> None:
        """Serve a provider that the application has just set."""

    def blended(self, provider: MeterProvider, reader: MetricReader, data: MetricsData | None) -> MetricsData | None:
        """Add this relay's children's metrics to a reader's collection."""

    def publish(self) -> None:
        """Put the address into the environment of children spawned from now on."""

    def withdraw(self) -> None:
        """Remove the address from the environment."""

    def __hash__(self) -> int: ...


PATIENCE = 2.0
"""Longest wait for another thread's start of a child, in seconds; after it we go on without the lock."""

_open: weakref.WeakKeyDictionary[Neighbour, None] = weakref.WeakKeyDictionary()
"""The newest last; a forked child keeps those of its parent, for their providers."""

_starting: dict[int, Neighbour] = {}
"""By thread: the relay whose child is being started there."""

_locks: dict[str, Any] = {}


def move_in(relay: Neighbour) -> None:
    """Register an open relay and make it the owner of the shared resources."""
    with _one_at_a_time():
        _open[relay] = None
        if relay.is_ours:
            sdk.bind(relay.providers[0])
        if relay.hears_children:
            relay.publish()
            sdk.on_set(_adopt)


def move_out(relay: Neighbour) -> None:
    """Unregister a relay; the newest remaining one inherits the shared resources."""
    with _one_at_a_time():
        _open.pop(relay, None)
        if relay.is_ours:
            bound = [each.providers[0] for each in list(_open) if each.is_here and each.is_ours]
            sdk.unbind(relay.providers[0], bound[-1] if bound else None)
        if relay.hears_children:
            relay.withdraw()
            _publish_newest()
            if not _hearing():
                sdk.on_set(None)


def sharing(provider: MeterProvider) -> list[Neighbour]:
    """List the relays that put their children's metrics into this provider's collections."""
    return [each for each in _hearing() if provider in each.providers]


@contextlib.contextmanager
def starting(relay: Neighbour) -> Iterator[None]:
    """Context: children started in this thread, forked or spawned, send to this relay."""
    me = threading.get_ident()
    with _one_at_a_time():
        before = _starting.get(me)
        _starting[me] = relay
        try:
            _publish_only(relay)
            yield
        finally:
            _publish_newest()
            if before is None:
                _starting.pop(me, None)
            else:
                _starting[me] = before


def is_parent(relay: Neighbour) -> bool:
    """In a forked child: tell whether this relay's worker started it; without a note, the newest relay's did."""
    _locks.clear()  # whoever held them
    newest = next(reversed([each for each in _open if each.hears_children]), None)
    return _starting.get(threading.get_ident(), newest) is relay


def providers() -> list[MeterProvider]:
    """List the providers of all relays: an instrument may be bound to another worker's."""
    return list(dict.fromkeys(provider for each in _open for provider in each.providers))


def _publish_only(relay: Neighbour) -> None:
    """Publish this relay's address alone, or none if it is closed."""
    for each in _hearing():
        each.withdraw()
    if relay in _open and relay.hears_children:
        relay.publish()


def _publish_newest() -> None:
    for newest in _hearing()[-1:]:
        newest.publish()


def _hearing() -> list[Neighbour]:
    return [each for each in list(_open) if each.is_here and each.hears_children]


def _adopt(provider: Any) -> None:
    for relay in list(_open):
        relay.adopt(provider)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold the process-wide lock, created at first use because gevent may patch later."""
    lock = _locks.setdefault("turn", threading.RLock())
    has_turn = lock.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if has_turn:
            lock.release()
