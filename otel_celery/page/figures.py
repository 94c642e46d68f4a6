"""Read single figures out of a scrape's families."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.quantile import quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client import Metric as Family
    from prometheus_client.samples import Sample


class Figures:
    """The samples of a scrape, by their names as on the port; an application's own may have any labels."""

    def __init__(self, families: Iterable[Family]) -> None:
        """Look at these families."""
        self._families = list(families)

    def samples(self, name: str) -> list[Sample]:
        """Return the samples of one name, such as ``celery_task_received_total``."""
        nearby = [family for family in self._families if name.startswith(family.name)]  # whose suffix differs by kind
        return [each for family in nearby for each in family.samples if each.name == name]

    def has(self, name: str) -> bool:
        """Tell whether there is such a sample."""
        return bool(self.samples(name))

    def total(self, name: str) -> float:
        """Add all samples of one name; 0 if there is none."""
        return sum(each.value for each in self.samples(name))

    def value(self, name: str) -> float | None:
        """Return what one sample says, of a name that has one; None if there is none."""
        return next((each.value for each in self.samples(name)), None)

    def labels(self, name: str) -> Mapping[str, str]:
        """Return the labels of the first sample of one name."""
        return next((each.labels for each in self.samples(name)), {})

    def sums(self, name: str, label: str) -> dict[str, float]:
        """Add the samples of one name by the values of a label."""
        sums: dict[str, float] = {}
        for each in self.samples(name):
            key = each.labels.get(label, "")
            sums[key] = sums.get(key, 0.0) + each.value
        return sums

    def highest(self, name: str, label: str) -> dict[str, float]:
        """Return the highest sample of one name for each value of a label."""
        highest: dict[str, float] = {}
        for each in self.samples(name):
            key = each.labels.get(label, "")
            highest[key] = max(highest.get(key, each.value), each.value)
        return highest

    def most(self, name: str, label: str, of: str) -> dict[str, tuple[str, float]]:
        """Return, for each value of ``label``, which value of the label ``of`` has most, and how many; none with 0."""
        sums: dict[tuple[str, str], float] = {}
        for each in self.samples(name):
            key = each.labels.get(label, ""), each.labels.get(of, "")
            sums[key] = sums.get(key, 0.0) + each.value
        most: dict[str, tuple[str, float]] = {}
        for (name_of, value), number in sums.items():
            if number > most.get(name_of, ("", 0.0))[1]:
                most[name_of] = value, number
        return most

    def quantiles(self, name: str, label: str) -> dict[str, tuple[float | None, float | None]]:
        """Estimate p50 and p95 of a histogram, in its unit, for each value of a label."""
        merged: dict[str, dict[float, float]] = {}
        for each in self.samples(f"{name}_bucket"):
            buckets, bound = merged.setdefault(each.labels.get(label, ""), {}), float(each.labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + each.value
        return {key: (quantile(0.5, buckets), quantile(0.95, buckets)) for key, buckets in merged.items()}
