"""Keep the metrics of publishing in a Meter of OpenTelemetry's API, whoever's provider is behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.metrics import Meter

    from otel_celery.catalogue import Metric


class MeterSink:
    """Records synchronously, since pool children's values go through the relay; implements ``publishes.Sink``."""

    def __init__(self, meter: Meter, bounds: Sequence[float]) -> None:
        """Create the instruments; ``bounds`` are those of the histogram's buckets, unless a view overrides them."""
        self._sent = meter.create_counter(*_described(catalogue.PUBLISHED))
        self._failed = meter.create_counter(*_described(catalogue.PUBLISH_FAILURES))
        self._took = meter.create_histogram(
            *_described(catalogue.PUBLISH_DURATION), explicit_bucket_boundaries_advisory=bounds
        )

    def record(self, attributes: Mapping[str, str], seconds: float, exception: str | None) -> None:
        """Record one publish."""
        if exception is None:
            self._sent.add(1, attributes)
        else:
            self._failed.add(1, {**attributes, "exception": exception})
        self._took.record(seconds, attributes)


def _described(metric: Metric) -> tuple[str, str, str]:
    return metric.name, metric.unit, metric.description
