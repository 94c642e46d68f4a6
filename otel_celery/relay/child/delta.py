"""A child's reader: it asks the SDK for what is new, and packs it for the main process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableGauge,
    UpDownCounter,
    _Gauge,  # public, under this name: what create_gauge makes
)
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricReader

from otel_celery.relay.child.packing import Packer

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

    from otel_celery.relay.wire import points

_DELTA = AggregationTemporality.DELTA
_CHANGES = (Counter, UpDownCounter, Histogram, ObservableGauge, _Gauge)
"""Of these the SDK says what changed. Of observed sums it says what they are, since it would subtract any object."""


class DeltaReader(MetricReader):
    """Collects what is new since the last time; of what is observed the value itself."""

    def __init__(self, label_length: int) -> None:
        """Cut label values to this length."""
        super().__init__(dict.fromkeys(_CHANGES, _DELTA))
        self.packer = Packer(label_length)
        self._frames: list[bytes] = []

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object) -> None:
        del timeout_millis
        self._frames += self.packer.frames(metrics_data)

    def take(self) -> tuple[list[bytes], list[points.Loss]]:
        """Collect, and give the frames, and what was lost since the last time.

        Raises whatever the SDK raises when it cannot collect.
        """
        self.collect()
        made, self._frames = self._frames, []
        return made, self.packer.losses()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Leave the thread of a task alone: the sender's own collects within a moment."""
        del timeout_millis
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Have nothing to shut down."""
