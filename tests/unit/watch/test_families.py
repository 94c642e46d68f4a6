"""The names that are read are the catalogue's, and bounds are numbers."""

from __future__ import annotations

import math

import pytest

from otel_celery.catalogue import METRICS
from otel_celery.record.reference import exported_name
from otel_celery.watch import families


@pytest.mark.parametrize(
    ("told", "upper"), [("0.5", 0.5), ("-1", -1.0), *((told, math.inf) for told in ("+Inf", "-Inf", "nan", "9e99"))]
)
def test_a_bound_is_a_number_to_reckon_with(told: str, upper: float) -> None:
    """Whatever else a page writes there is that of the last bucket."""
    assert families.bound({"le": told}) == upper


def test_every_name_is_one_that_the_port_has() -> None:
    """A metric that was renamed would be read no longer."""
    exported = {exported_name(metric) for metric in METRICS}
    read = {
        name.removesuffix("_bucket").removesuffix("_sum")
        for name in (*families.WANTED, *families.OURS, families.RUNTIME, families.RUNTIME_SUM)
    }
    assert read <= exported
