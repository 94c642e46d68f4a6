"""Readings of the queues' metrics, as the catalogue has them; what has no room of its own is added up as ``other``."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from otel_celery import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_celery.catalogue import Metric
    from otel_celery.observers import Reading
    from otel_celery.queues.figures import Figures
    from otel_celery.queues.refresher import Refresher


def of(refresher: Refresher, label: Callable[[str], str]) -> Mapping[Metric, Reading]:
    """Read a refresher's figures; ``label`` makes the label of a queue's name."""

    def each(value: Callable[[Figures], float | None], united: Callable[[Iterable[float]], float] = sum) -> Reading:
        def read() -> list[tuple[float, Mapping[str, str]]]:
            found = defaultdict[str, list[float]](list)
            for name, figures in refresher.figures().items():
                if (number := value(figures)) is not None:
                    found[label(name)].append(number)
            return [(united(numbers), {"queue": queue}) for queue, numbers in found.items()]

        return read

    def refreshed() -> list[tuple[float, Mapping[str, str]]]:
        return [] if refresher.refreshed_at is None else [(refresher.refreshed_at, {})]

    return {
        catalogue.QUEUE_LENGTH: each(lambda figures: figures.length),
        catalogue.QUEUE_CONSUMERS: each(lambda figures: figures.consumers),
        catalogue.QUEUE_UNACKED: each(lambda figures: figures.unacked),
        catalogue.QUEUE_OLDEST: each(lambda figures: figures.age, max),
        catalogue.QUEUE_REFRESH_FAILURES: lambda: [(refresher.failures, {})],
        catalogue.QUEUE_LAST_REFRESH: refreshed,
    }
