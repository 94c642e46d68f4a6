"""What users do wrong costs them that, and no scrape."""

from __future__ import annotations

import subprocess

import pytest

from tests.integration.relay.facts import call, start, wait_for
from tests.integration.worker.ways import pools


@pytest.mark.parametrize("pool", pools("prefork", "threads"))
def test_f65_mistakes_break_nothing(site, pool, promtool) -> None:
    """Wrong types, NaN, lone surrogates and taken names: each scrape is whole, valid, and our metrics are ours."""
    worker = start(site, pool, concurrency=1)
    assert call(site, "shop.mistakes") == ["'x'", "None"]
    wait_for(worker, {"shop_orders_total": 2, "twice_total": 3})
    scrape = worker.settled()  # a result may be read, and what the task recorded shown, before its end is counted
    assert scrape.value("shop_orders_total", shop='?t\xe9\n"quoted"', list='["a", "b"]', true="true") == 1
    assert scrape.value("twice_total", by="two") == 1
    assert scrape.value("twice_total") == 3, "the counter's, not the gauge's"
    assert {len(value) for value in scrape.labels("shop_orders_total", "long")} == {0, 200}
    assert scrape.labels("celery_worker_up", "worker") == {"w@localhost"}
    assert scrape.value("celery_tasks_total", status="success") == 1
    assert worker.scrape().value("otel_celery_relay_dropped_total", reason="name") == 3
    for name in ("celery.tasks", "celery.worker.up", "twice.total"):
        assert worker.log.count(f"the metric {name!r} of the meter") == 1
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=scrape.text, text=True, capture_output=True, check=False
    )
    assert "error" not in checked.stderr.lower()
    assert worker.stop() == 0


def test_too_many_label_sets_are_added_up(site) -> None:
    """Beyond 2 000 label sets of one instrument, over all children, the rest is one series, and no count is lost."""
    worker = start(site, concurrency=2)
    for begin in (0, 1500, 3000):
        call(site, "shop.many", begin=begin, number=1500)
    scrape = wait_for(worker, {"shop_many_total": 4500})
    series = [sample for sample in scrape.samples if sample.name == "shop_many_total"]
    assert len(series) == 2001
    assert scrape.value("shop_many_total", otel_metric_overflow="true") == 2500
    assert worker.stop() == 0
