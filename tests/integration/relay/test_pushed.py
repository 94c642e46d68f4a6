"""What children record is pushed along with everything else."""

from __future__ import annotations

import pytest

from tests.integration.relay.facts import call, send, sold, start
from tests.integration.worker.harness import wait_until
from tests.integration.worker.pushed import pushing


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
@pytest.mark.parametrize("provider", ["", "import"], ids=["no-provider", "set-at-import"])
def test_children_over_otlp(site, receiver, provider, temporality) -> None:
    """The sums over all children arrive, as totals or as changes, and the last ones with the worker's end."""
    environment = pushing(receiver, OTEL_METRIC_EXPORT_INTERVAL="500", T_PROVIDER=provider)
    environment["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"] = temporality
    worker = start(site, concurrency=2, environment=environment, arguments=("--max-tasks-per-child", "3"))
    read = receiver.latest if temporality == "cumulative" else receiver.total
    send(site, 6, number=5, shop="a")
    wait_until(lambda: read("shop.orders", shop="a") == 30, "the orders are pushed")
    call(site, "shop.everything", value=2)
    send(site, 4, number=5, shop="a")
    wait_until(lambda: sold(worker) == 50, "more are recorded")
    assert worker.stop() == 0
    assert read("shop.orders", shop="a") == 50
    assert read("shop.weight") == 1
    assert receiver.latest("shop.price") == 2
    assert receiver.points("shop.orders")[-1].scope == "shop"
