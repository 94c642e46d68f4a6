"""The SDK's views: each of our instruments is mapped onto its documented name and labels, by the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import ExemplarReservoir
from opentelemetry.sdk.metrics.view import DropAggregation, View

from otel_celery import catalogue
from otel_celery.catalogue import SCOPE

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import Exemplar
    from opentelemetry.util.types import Attributes

CONTRIB_RUNTIME = "flower.task.runtime.seconds"
"""A histogram of opentelemetry-instrumentation-celery: the same times again, under labels with another meaning."""


class NoExemplars(ExemplarReservoir):
    """Keeps no exemplar: the port shows none, and emptying the SDK's own reservoirs costs time for each series."""

    def __init__(self, **_: object) -> None:
        """Ignore the SDK's arguments."""

    def offer(self, *_: object, **__: object) -> None:
        """Ignore the observation."""

    def collect(self, point_attributes: Attributes) -> list[Exemplar]:
        """Return no exemplars."""
        del point_attributes
        return []


def views(*, has_exemplars: bool = False) -> list[View]:
    """Map each instrument onto its documented name and labels, and drop contrib's second timing of every task.

    No view of ours sets an aggregation: it would override an exporter's preference for exponential buckets.
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
