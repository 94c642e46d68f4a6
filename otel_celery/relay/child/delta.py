"""A child's metric reader: collects deltas from the SDK, and packs them for the main process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableGauge,
    UpDownCounter,
    _Gauge,  # public, under this name: the class of create_gauge's instruments
)
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

from otel_celery.relay.child.packing import Packer

if TYPE_CHECKING:
    from otel_celery.relay.wire import points

_DELTA = AggregationTemporality.DELTA
_CHANGES = (Counter, UpDownCounter, Histogram, ObservableGauge, _Gauge)
"""Instruments with delta temporality. Observable sums have none: for their delta the SDK would subtract any object."""


class DeltaReader(InMemoryMetricReader):
    """Collects the deltas since its last collection, and the totals of observable sums."""

    def __init__(self, label_length: int) -> None:
        """Cut label values to ``label_length`` characters."""
        super().__init__(dict.fromkeys(_CHANGES, _DELTA))
        self.packer = Packer(label_length)

    def take(self) -> tuple[list[bytes], list[points.Loss]]:
        """Collect; return the frames, and the losses since the last time.

        Raises any exception of the SDK's if it cannot collect.
        """
        metrics_data = self.get_metrics_data()
        made = list(self.packer.frames(metrics_data)) if metrics_data is not None else []
        return made, self.packer.losses()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Do nothing on the thread of a task: the sender's own thread collects within a moment."""
        del timeout_millis
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Do nothing."""
