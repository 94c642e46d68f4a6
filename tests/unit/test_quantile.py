"""The quantile, against numbers that Prometheus gives for the same buckets."""

from __future__ import annotations

from math import inf

import pytest

from otel_celery.quantile import quantile


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ({0.1: 100.0, inf: 100.0}, 0.095),  # within the first bucket, from 0
        ({0.1: 0.0, 0.2: 100.0, inf: 100.0}, 0.195),  # within the second
        ({0.1: 90.0, 0.2: 90.0, 0.5: 100.0, inf: 100.0}, 0.35),  # past an empty one
        ({0.1: 95.0, 0.2: 100.0, inf: 100.0}, 0.1),  # exactly a bound
        ({0.1: 10.0, 1.0: 50.0, inf: 100.0}, 1.0),  # above the last bound
        ({0.1: 0.0, inf: 0.0}, None),  # nothing counted
        ({}, None),
        ({0.1: 5.0}, None),  # no histogram without +Inf
    ],
)
def test_a_quantile_is_histogram_quantiles(buckets: dict[float, float], expected: float | None) -> None:
    """Linear within a bucket, the last bound above it, nothing where nothing was counted."""
    found = quantile(0.95, buckets)
    assert found == (None if expected is None else pytest.approx(expected))
