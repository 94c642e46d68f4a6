"""Keep the metrics of publishing in prometheus_client's own instruments, in the application's registry.

In multiprocess mode (PROMETHEUS_MULTIPROC_DIR) prometheus_client keeps their values in files, and adds them up over the
processes of a web server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from prometheus_client import Counter, Histogram

from otel_celery import catalogue
from otel_celery.record.reference import exported_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prometheus_client import CollectorRegistry

    from otel_celery.catalogue import Metric

_sinks: WeakKeyDictionary[CollectorRegistry, RegistrySink] = WeakKeyDictionary()
"""A registry takes each name once, and several apps may share one."""


def registry_sink(registry: CollectorRegistry, bounds: Sequence[float]) -> RegistrySink:
    """Return the sink of a registry.

    Raises ValueError if the registry has a metric of one of our names that is not ours.
    """
    if registry not in _sinks:
        _sinks[registry] = RegistrySink(registry, bounds)
    return _sinks[registry]


class RegistrySink:
    """Implements ``publishes.Sink``."""

    def __init__(self, registry: CollectorRegistry, bounds: Sequence[float]) -> None:
        """Register the three metrics; ``bounds`` are those of the histogram's buckets."""
        self._sent = Counter(*_described(catalogue.PUBLISHED), registry=registry)
        self._failed = Counter(*_described(catalogue.PUBLISH_FAILURES), registry=registry)
        self._took = Histogram(*_described(catalogue.PUBLISH_DURATION), registry=registry, buckets=bounds)

    def record(self, attributes: Mapping[str, str], seconds: float, exception: str | None) -> None:
        """Record one publish."""
        labels = attributes["task_name"], attributes["queue"]
        if exception is None:
            self._sent.labels(*labels).inc()
        else:
            self._failed.labels(*labels, exception).inc()
        self._took.labels(*labels).observe(seconds)


def _described(metric: Metric) -> tuple[str, str, tuple[str, ...]]:
    """Return name, help and labels; ``worker`` is not among them, since a worker's own figures are on its port."""
    labels = tuple(label for label in metric.attributes if label != "worker")
    return exported_name(metric).removesuffix("_total"), metric.description, labels
