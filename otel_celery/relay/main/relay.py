"""The relay in the main process: publishes an address to children, and adds their metrics to each collection."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider

from otel_celery.forks import Home
from otel_celery.lifecycle import Loss
from otel_celery.relay import sdk
from otel_celery.relay.child import child
from otel_celery.relay.main import neighbours
from otel_celery.relay.main.listener import Listener
from otel_celery.relay.wire import address

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from contextlib import AbstractContextManager

    from opentelemetry.sdk.metrics.export import MetricReader, MetricsData

    from otel_celery.forks import ForkGate
    from otel_celery.relay.main.blend import Blender
    from otel_celery.relay.main.merged import Merged
    from otel_celery.relay.main.neighbours import Neighbour

logger = logging.getLogger("otel_celery")

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
    """Makes the metrics that tasks record in any process of the worker reach every reader of one provider."""

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
        """Prepare; ``is_ours`` means that the application has set no provider.

        ``lost`` counts points that are left out, by reason; ``failed`` is called with exceptions of ours.
        """
        self.is_ours = is_ours
        self.providers = [provider]
        self._listener: Listener | None = None
        self._gate = gate
        self._count, self._failed = lost, failed
        self._said: set[Loss] = set()
        self._began = time.time_ns()
        self._merging: tuple[Merged, Blender] | None = None
        self._label_length = label_length
        self._home = Home()

    def open(self, environ: MutableMapping[str, str], *, has_children: bool) -> None:
        """Make instruments that were created before any provider was set record, here and in later children.

        Raises SdkMovedError if a private name of the SDK has moved, OSError if no socket can be made.
        """
        sdk.check()
        if has_children:
            self._listen(environ)
        self._collect(self.providers[0])
        neighbours.move_in(self)

    def collect_apart(self) -> None:
        """Prevent an instrument of the application's from failing a scrape; enough where no metrics are relayed.

        Raises SdkMovedError as :meth:`open` does.
        """
        sdk.check()
        self._collect(self.providers[0])

    def _collect(self, provider: MeterProvider) -> None:
        """Make a provider's readers collect each instrument separately, with the children's metrics added.

        For an application's provider, other workers' children stay included.
        """
        relays = neighbours.sharing(provider)
        if self.hears_children and self not in relays:
            relays.append(self)
        if relays:
            sdk.blend_into(provider, partial(_blended, relays, provider), self._lost_value)
        else:
            sdk.collect_apart(provider, self._lost_value)

    def _listen(self, environ: MutableMapping[str, str]) -> None:
        listening, self._where = address.listen(feeds_application=not self.is_ours)
        try:
            self._listener = Listener(listening, self._where, self._gate, self._lost, self._failed)
        except OSError:  # no descriptor is left
            listening.close()
            address.remove(self._where)
            raise
        self._child = child.Child(self._where, self._label_length, self._gate)
        self._environ = environ
        self._gate.watch(self)

    @property
    def hears_children(self) -> bool:
        """Tell whether the relay listens for children."""
        return self._listener is not None

    @property
    def is_here(self) -> bool:
        """Tell whether it was made in this process."""
        return self._home.is_here

    def publish(self) -> None:
        """Put the address into the environment of children spawned from now on."""
        self._where.publish(self._environ)

    def withdraw(self) -> None:
        """Remove the address from the environment."""
        self._where.withdraw(self._environ)

    def starting(self) -> AbstractContextManager[None]:
        """Context: children started in this thread, forked or spawned, send to this relay."""
        return neighbours.starting(self)

    def start(self) -> None:
        """Start to read from children, now that the first ones are forked."""
        if self._listener is None:
            return
        with self._gate.importing():
            from otel_celery.relay.main.blend import Blender  # noqa: PLC0415  no child needs it
            from otel_celery.relay.main.merged import Merged  # noqa: PLC0415  the same
        merged = Merged(self._lost, self._began)
        self._merging = merged, Blender(self._label_length, self._lost)
        self._listener.start(merged)

    def close(self) -> None:
        """Read the children's last frames and stop; merged metrics stay with the provider. Harmless if never opened."""
        neighbours.move_out(self)
        if self._listener is not None:
            self._listener.close()
            self._gate.forget(self)  # until then a neighbour's child must let go of the sockets
            address.remove(self._where)

    def abandon(self) -> None:
        """Prepare a child that was just forked: if it is this worker's, have it send its metrics to this relay."""
        if self._listener is not None:
            self._listener.abandon()
        if neighbours.is_parent(self):
            self._child.enter(neighbours.providers(), forked=True)

    @staticmethod
    def say_goodbye() -> None:
        """Send the last values of a child that ends in order."""
        child.say_goodbye()

    def adopt(self, provider: Any) -> None:
        """Add the children's metrics to a provider, too, that the application sets later in the main process."""
        if self.hears_children and isinstance(provider, MeterProvider) and provider not in self.providers:
            self.providers.append(provider)
            self._collect(provider)

    def blended(self, provider: MeterProvider, reader: MetricReader, data: MetricsData | None) -> MetricsData | None:
        """Add the children's metrics to a reader's collection; after an error the collection stays without them."""
        if not self._home.is_here or self._merging is None:
            return data
        merged, blend = self._merging
        try:
            is_delta = partial(sdk.is_delta, reader)
            points = merged.points(reader, is_delta, time.time_ns())
            return blend(data, points, sdk.resource(provider), is_delta)
        except Exception as error:  # noqa: BLE001  reported, and counted in a metric
            self._failed(error)
            return data

    def _lost_value(self, name: str) -> None:
        """Count a point of an instrument of this process whose value is no number."""
        self._lost(Loss.VALUE, name=name)

    def _lost(self, reason: Loss, number: int = 1, *, name: str = "") -> None:
        """Count points that are left out, and log the first of each reason."""
        self._count(reason, number)
        if reason not in self._said:
            self._said.add(reason)
            logger.warning("otel-celery: %s (otel_celery_relay_dropped_total counts on)", SENTENCES[reason] % name)


def _blended(
    relays: list[Neighbour], provider: MeterProvider, reader: MetricReader, data: MetricsData | None
) -> MetricsData | None:
    """Add the metrics of the children of several relays to a reader's collection."""
    for relay in relays:
        data = relay.blended(provider, reader, data)
    return data
