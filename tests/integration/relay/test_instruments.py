"""Every kind of instrument, made at import or in the task, on every pool, whoever has set a provider."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.relay.facts import call, start, wait_for
from tests.integration.worker.harness import wait_until
from tests.integration.worker.ways import AUTO, errors, pools

EVERYTHING = {
    "shop_orders_total": 3,
    "shop_stock": 6,
    "shop_price": 4,
    "shop_weight_kg_count": 3,
    "shop_weight_kg_sum": 9,
    "late_calls_total": 6,
    "late_stock": -9,
    "late_price": 4,
    "late_weight_count": 3,
    "late_weight_sum": 9,
    "late_seen_total": 7,
    "late_held": 5,
    "late_heat": 40,
}
"""What three runs of shop.everything with 2, 3 and 4 come to, in one process."""


def play(site, worker) -> None:
    """Record with everything, and see it all on the port."""
    for value in (2, 3, 4):
        call(site, "shop.everything", value=value)
    scrape = wait_for(worker, EVERYTHING)
    buckets = [scrape.value("shop_weight_kg_bucket", le=bound) for bound in ("1.0", "10.0", "+Inf")]
    assert buckets == [0, 3, 3]
    assert scrape.value("shop_price", shop="b") == 4
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert scrape.value("otel_celery_relay_dropped_total") == 0
    assert errors(worker) == []


@pytest.mark.parametrize("provider", ["", "import", "child"], ids=["no-provider", "set-at-import", "set-in-children"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_from_prefork_children(site, method, provider) -> None:
    """What a child records is on the pool's port, and stays there when the child is gone."""
    environment = {"T_START_METHOD": method, "T_PROVIDER": provider}
    worker = start(site, concurrency=1, environment=environment)
    play(site, worker)
    if provider != "child":  # then the application has asked for it to be observed there
        assert worker.scrape().value("shop_open") == worker.process.pid
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", pools("threads", "solo", "gevent", "eventlet"))
def test_the_same_code_on_other_pools(site, pool) -> None:
    """The same tasks show the same metrics where they run in the main process."""
    worker = start(site, pool, concurrency=1)
    play(site, worker)
    assert worker.stop() == 0


def test_under_opentelemetry_instrument(site) -> None:
    """The launcher's provider is an application's own."""
    environment = {"OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    worker = start(site, concurrency=1, environment=environment, launcher=AUTO, switch=())
    play(site, worker)
    assert worker.stop() == 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_applications_own_reader_sees_it_too(site, tmp_path: Path, method) -> None:
    """A reader on the application's own provider gets the children's sums along with the main process's."""
    environment = {"T_START_METHOD": method, "T_PROVIDER": "import", "T_SEEN": str(tmp_path / "seen")}
    worker = start(site, concurrency=2, environment=environment)
    for _ in range(4):
        call(site, "shop.sell", number=5, shop="a")

    def seen() -> list:
        path = Path(environment["T_SEEN"])
        return json.loads(path.read_text()) if path.exists() else []

    wait_until(lambda: ["shop.orders", {"shop": "a"}, 20] in seen(), "the application's reader has it")
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", pools("prefork", "threads"))
def test_switched_off(site, pool) -> None:
    """With OTEL_PYTHON_CELERY_CHILD_METRICS=false no instrument of a task is bound to anything."""
    worker = start(site, pool, environment={"OTEL_PYTHON_CELERY_CHILD_METRICS": "false"})
    call(site, "shop.sell", number=5)
    assert "otel-celery-relay" not in call(site, "shop.nothing")
    scrape = worker.settled()
    assert "shop_" not in scrape.text.replace("shop.", "")
    assert worker.stop() == 0


def test_metrics_off_arms_nothing(site) -> None:
    """Where nothing is exported a child finds no socket to send to."""
    worker = site.start(app="tests.integration.relay.shop", environment={"PROMETHEUS_ENABLED": "false"})
    wait_until(lambda: "ready." in worker.log, "the worker is ready")
    assert call(site, "shop.sell", number=1)
    threads, variable = call(site, "shop.nothing"), call(site, "shop.variable")
    assert ("otel-celery-relay" in threads, variable) == (False, None)
    assert worker.stop() == 0
