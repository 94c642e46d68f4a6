"""The relays of one process, one for each worker that lives in it, and what there is only once for all of them.

Instruments have one provider, the SDK tells one listener of a provider that is set late, and spawned children read one
variable: these belong to the newest worker that lives on. A pool's child belongs to the worker that starts it, which
says so around the start, in the thread that forks.
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
    """What the others need to know of a relay."""

    providers: list[MeterProvider]
    is_ours: bool
    """Whether the first of its providers is not the application's."""

    @property
    def is_here(self) -> bool:
        """Tell whether it was made in this process."""

    @property
    def hears_children(self) -> bool:
        """Tell whether there is anything that children could send to."""

    def adopt(self, provider: Any) -> None:
        """Serve a provider that the application has just set."""

    def blended(self, provider: MeterProvider, reader: MetricReader, data: MetricsData | None) -> MetricsData | None:
        """Put its children's metrics into what a reader collected."""

    def publish(self) -> None:
        """Have the children that are spawned from now on find it."""

    def withdraw(self) -> None:
        """Have them no longer find it."""

    def __hash__(self) -> int: ...


PATIENCE = 2.0
"""The seconds that one waits for another: a spawned child that does not read delays a neighbour, but stops none."""

_open: weakref.WeakKeyDictionary[Neighbour, None] = weakref.WeakKeyDictionary()
"""The newest last; a forked child keeps those of its parent, for their providers."""

_starting: dict[int, Neighbour] = {}
"""By thread: the relay whose child is being started there."""

_locks: dict[str, Any] = {}


def move_in(relay: Neighbour) -> None:
    """Have a relay that is open get what there is only once."""
    with _one_at_a_time():
        _open[relay] = None
        if relay.is_ours:
            sdk.bind(relay.providers[0])
        if relay.hears_children:
            relay.publish()
            sdk.on_set(_adopt)


def move_out(relay: Neighbour) -> None:
    """Leave all that to the newest that lives on; of two that end at once, neither is the other's heir."""
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
    """Have the children that are started meanwhile, in this thread, be this relay's, forked and spawned ones alike."""
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
    """Tell, in a child that was just forked, whether it is this relay's; where nobody says whose, the newest's."""
    _locks.clear()  # whoever held them
    newest = next(reversed([each for each in _open if each.hears_children]), None)
    return _starting.get(threading.get_ident(), newest) is relay


def providers() -> list[MeterProvider]:
    """List those that instruments of this process may record with: they need not have been made for its own worker."""
    return list(dict.fromkeys(provider for each in _open for provider in each.providers))


def _publish_only(relay: Neighbour) -> None:
    """Have those that are spawned find this one, or none where it is closed."""
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
    """Keep the others out, made when it is first needed: a patch may come before."""
    lock = _locks.setdefault("turn", threading.RLock())
    has_turn = lock.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if has_turn:
            lock.release()
