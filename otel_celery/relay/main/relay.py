"""The main process's side of the relay: where children are told to send to, and where their metrics come together."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider

from otel_celery.forks import Home
from otel_celery.lifecycle import Loss
from otel_celery.relay import sdk
from otel_celery.relay.child import child
from otel_celery.relay.main.blend import Blender
from otel_celery.relay.main.listener import Listener
from otel_celery.relay.main.merged import Merged
from otel_celery.relay.wire import address

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from opentelemetry.sdk.metrics.export import MetricReader, MetricsData

    from otel_celery.forks import ForkGate

logger = logging.getLogger("otel_celery")

_bound: weakref.WeakKeyDictionary[Relay, None] = weakref.WeakKeyDictionary()
"""The open relays whose providers the proxies were bound to, the newest last: several workers may share a process."""

_locks: dict[str, Any] = {}

SENTENCES = {
    Loss.LIMIT: "there are too many instruments: %s and other new ones are left out",
    Loss.MISMATCH: "the histogram %s has other bucket bounds in some processes of this worker than in others, whose "
    "points are left out",
    Loss.UNSUPPORTED: "the exponential histogram %s cannot be merged over pool children and is left out; "
    "take the view that asks for it off",
    Loss.VALUE: "a number or a label of %s is nothing that can be made plain, and that point is left out",
    Loss.TORN: "a child was killed while it sent its metrics%s; what it was sending is lost",
    Loss.MALFORMED: "something%s that was sent to this worker's relay cannot be understood, and is left out",
}


class Relay:
    """Has what tasks record reach every reader of one provider, in whichever process of the worker they run."""

    def __init__(  # noqa: PLR0913  all but two of them are keywords
        self,
        provider: MeterProvider,
        *,
        is_ours: bool,
        label_length: int,
        gate: ForkGate,
        lost: Callable[[Loss, int], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Prepare; ``is_ours`` says that the application has set no provider.

        ``lost`` hears of points that are left out and why, ``failed`` of exceptions of ours.
        """
        self._is_ours = is_ours
        self._listener: Listener | None = None
        self._gate = gate
        self._count, self._failed = lost, failed
        self._said: set[Loss] = set()
        self._providers = [provider]
        self._books = Merged(self._lost, time.time_ns())
        self._blend = Blender(label_length, self._lost)
        self._label_length = label_length
        self._home = Home()

    def open(self, environ: MutableMapping[str, str], *, has_children: bool) -> None:
        """Have instruments that were made before any provider was set record, here and in later children.

        Raises SdkMovedError when the SDK is not as this package knows it, OSError when no socket can be had.
        """
        self.collect_apart()
        if has_children:
            self._open(environ)
        if self._is_ours:
            self._bind()

    def _bind(self) -> None:
        with _binding():
            sdk.bind(self._providers[0])
            _bound[self] = None

    def _unbind(self) -> None:
        """Leave the proxies to the newest worker of this process that lives on, whose tasks would be deaf else."""
        with _binding():
            _bound.pop(self, None)
            heirs = [relay._providers[0] for relay in _bound if relay._home.is_here]  # noqa: SLF001  of this class
            sdk.unbind(self._providers[0], heirs[-1] if heirs else None)

    def collect_apart(self) -> None:
        """Have no instrument of the application's fail a scrape: all that is done where its metrics are not relayed.

        Raises SdkMovedError as ``open`` does.
        """
        sdk.check()
        sdk.collect_apart(self._providers[0], self._lost_value)

    def _open(self, environ: MutableMapping[str, str]) -> None:
        listening, self._where = address.listen(feeds_application=not self._is_ours)
        try:
            self._listener = Listener(listening, self._where, self._books, self._gate, self._lost, self._failed)
        except OSError:  # no descriptor is left
            listening.close()
            address.remove(self._where)
            raise
        self._child = child.Child(self._where, self._label_length, self._gate)
        self._environ = environ
        self._where.publish(environ)
        for provider in self._providers:
            sdk.blend_into(provider, partial(self._blended, provider), self._lost_value)
        sdk.on_set(self._adopt)
        self._gate.watch(self)

    def start(self) -> None:
        """Hear the children, now that the first ones are forked."""
        if self._listener is not None:
            self._listener.start()

    def close(self) -> None:
        """Hear the children out and stop; what they told stays with the provider. Harmless when never opened."""
        if self._is_ours:
            self._unbind()
        if self._listener is not None:
            self._gate.forget(self)
            sdk.on_set(None)
            self._where.withdraw(self._environ)
            self._listener.close()
            address.remove(self._where)

    def abandon(self) -> None:
        """Arm a child that was just forked."""
        if self._listener is not None:
            self._listener.abandon()
        self._child.enter(self._providers, forked=True)

    @staticmethod
    def say_goodbye() -> None:
        """Send the last values, in a child that ends in order."""
        child.say_goodbye()

    def _adopt(self, provider: Any) -> None:
        """Serve a provider that the application sets later, in the main process, as if it had been there before."""
        if isinstance(provider, MeterProvider) and provider not in self._providers:
            self._providers.append(provider)
            sdk.blend_into(provider, partial(self._blended, provider), self._lost_value)

    def _blended(self, provider: MeterProvider, reader: MetricReader, data: MetricsData | None) -> MetricsData | None:
        """Put the children's metrics into what a reader collected; what goes wrong costs them alone."""
        if not self._home.is_here:
            return data
        try:
            is_delta = partial(sdk.is_delta, reader)
            merged = self._books.points(reader, is_delta, time.time_ns())
            return self._blend(data, merged, sdk.resource(provider), is_delta)
        except Exception as error:  # noqa: BLE001  reported, and counted in a metric
            self._failed(error)
            return data

    def _lost_value(self, name: str) -> None:
        """Count what an instrument of this process lost, because its value is none."""
        self._lost(Loss.VALUE, name=name)

    def _lost(self, reason: Loss, number: int = 1, *, name: str = "") -> None:
        """Count what is left out, and say it the first time."""
        self._count(reason, number)
        if reason not in self._said:
            self._said.add(reason)
            logger.warning("otel-celery: %s (otel_celery_relay_dropped_total counts on)", SENTENCES[reason] % name)


def _binding() -> Any:
    """Give the lock that is held while the proxies change hands, made when it is first needed: a patch may come before.

    Of two workers that end at once, neither is to be the other's heir.
    """
    return _locks.setdefault("binding", threading.RLock())
