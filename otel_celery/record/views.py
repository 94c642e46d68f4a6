"""The views: each of our instruments mapped onto its documented name and labels, by the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import ExemplarReservoir
from opentelemetry.sdk.metrics.view import DropAggregation, View

from otel_celery import catalogue

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import Exemplar
    from opentelemetry.util.types import Attributes

SCOPE = "otel_celery"

CONTRIB_RUNTIME = "flower.task.runtime.seconds"
"""What opentelemetry-instrumentation-celery records: the same times again, under labels that mean something else."""


class NoExemplars(ExemplarReservoir):
    """Keeps no exemplar: the pull port shows none, and an empty reservoir of the SDK's is emptied for each series."""

    def __init__(self, **_: object) -> None:
        """Ignore what the SDK tells its reservoirs."""

    def offer(self, *_: object, **__: object) -> None:
        """Let it pass."""

    def collect(self, point_attributes: Attributes) -> list[Exemplar]:
        """Return none."""
        del point_attributes
        return []


def views(*, has_exemplars: bool = False) -> list[View]:
    """Map each instrument onto its documented name and labels, and drop what would time every task twice.

    No view carries an aggregation of ours: it would beat an exporter's preference for exponential buckets.
    """
    ours = [
        View(
            instrument_name=metric.name,
            meter_name=SCOPE,
            name=metric.name,
            attribute_keys=set(metric.attributes),
            exemplar_reservoir_factory=None
            if has_exemplars and metric.kind is catalogue.Kind.HISTOGRAM
            else lambda _: NoExemplars,  # type: ignore[arg-type,return-value]
        )
        for metric in catalogue.METRICS
    ]
    return [*ours, View(instrument_name=CONTRIB_RUNTIME, aggregation=DropAggregation())]
