"""The names that are read are the catalogue's."""

from __future__ import annotations

from otel_celery.catalogue import METRICS
from otel_celery.record.reference import exported_name
from otel_celery.watch import families


def test_every_name_is_one_that_the_port_has() -> None:
    """A metric that was renamed would be read no longer."""
    exported = {exported_name(metric) for metric in METRICS}
    read = {
        name.removesuffix("_bucket").removesuffix("_sum")
        for name in (*families.WANTED, *families.OURS, families.RUNTIME, families.RUNTIME_SUM)
    }
    assert read <= exported
