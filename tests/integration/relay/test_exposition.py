"""Whatever tasks record, in whichever process: every parser takes the port, and every push arrives."""

from __future__ import annotations

import subprocess
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as lax_string_to_metric_families

from tests.integration.relay.facts import call, wait_for
from tests.integration.worker.harness import wait_until
from tests.integration.worker.pushed import pushing, said
from tests.integration.worker.ways import pools
from tests.otlp import grpc_receiver, http_receiver

if TYPE_CHECKING:
    from tests.integration.worker.harness import Worker

STRICT = "application/openmetrics-text; version=1.0.0"
ROUNDS = 12


def assert_parsed(worker: Worker, promtool: str) -> None:
    """Scrape in both formats, each accepted by its parser, the first by promtool as well."""
    text = worker.scrape().text
    assert list(lax_string_to_metric_families(text))
    checked = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    assert "error" not in checked.stderr.lower(), checked.stderr
    request = urllib.request.Request(f"http://127.0.0.1:{worker.port}/metrics", headers={"Accept": STRICT})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert list(text_string_to_metric_families(answer.read().decode()))


def series_of_others(worker: Worker) -> dict[str, float]:
    """Give what no call of the metrics API by another task may change: each series of `odd.still`, and of its runs."""
    lines = (line.rpartition(" ") for line in worker.scrape().text.split("\n") if not line.startswith("#"))
    return {
        series: float(value)
        for series, _, value in lines
        if series.startswith("still_") or 'task_name="odd.still"' in series
    }


@pytest.mark.parametrize("pool", pools("prefork", "threads"))
def test_any_sequence_of_calls_leaves_a_port_that_all_parsers_take(site, pool, promtool) -> None:
    """After each of many tasks that record at random; the series of all others, and our own, are what they were."""
    worker = site.start(app="tests.integration.relay.odd", pool=pool, concurrency=2).wait_ready()
    call(site, "odd.still")
    wait_for(worker, {"still_orders_total": 3, "still_open": -2, "still_level": 0.5, "still_size_bytes_count": 3})
    worker.settled()
    others = series_of_others(worker)
    assert len(others) > 50
    for seed in range(ROUNDS):
        call(site, "odd.record", seed=seed, calls=25)
        wait_for(worker, {"plain_total": seed + 1})
        assert_parsed(worker, promtool)
        assert series_of_others(worker) == others
    scrape = worker.settled()
    assert scrape.value("celery_tasks_total", task_name="odd.record", status="success") == ROUNDS
    assert scrape.labels("celery_tasks_total", "worker") == {"w@localhost"}
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert scrape.value("otel_celery_relay_dropped_total", reason="name") > 0
    assert worker.stop() == 0


def test_f81_bytes_that_are_no_utf8(site, promtool) -> None:
    """In the node's name, the service's and an attribute: the port answers, and so does each later scrape.

    Redis has no queue of such a name, so that Celery itself fails there: another transport does not.
    """
    environment = {"OTEL_SERVICE_NAME": "shop\udcff", "OTEL_RESOURCE_ATTRIBUTES": "team=\udcff,site=x"}
    environment["T_BROKER"] = "memory://"
    worker = site.start(app="tests.integration.relay.odd", environment=environment, name="w\udcff").wait_ready()
    for _ in range(2):
        assert_parsed(worker, promtool)
    scrape = worker.scrape()
    assert scrape.value("target_info", service_name="shop?", team="?", site="x", celery_worker_name="w?@localhost") == 1
    assert scrape.value("celery_worker_up", worker="w?@localhost") == 1
    assert worker.stop() == 0


@pytest.mark.parametrize(
    ("protocol", "temporality", "pool"),
    [
        pytest.param("http/protobuf", "cumulative", "prefork", marks=pytest.mark.prefork),
        pytest.param("grpc", "delta", "prefork", marks=pytest.mark.prefork),
        pytest.param("http/protobuf", "delta", "threads", marks=pytest.mark.threads),
        pytest.param("grpc", "cumulative", "threads", marks=pytest.mark.threads),
    ],
)
def test_f83_a_sum_beyond_64_bits_stops_no_push(site, pool, protocol, temporality) -> None:
    """It is sent as a float and said once; all else arrives, push after push, and nothing of an encoder's is logged."""
    with http_receiver() if protocol != "grpc" else grpc_receiver() as receiver:
        environment = pushing(receiver, OTEL_METRIC_EXPORT_INTERVAL="300", OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
        environment["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"] = temporality
        worker = site.start(
            app="tests.integration.relay.odd", pool=pool, concurrency=1, environment=environment
        ).wait_ready()
        read = receiver.latest if temporality == "cumulative" else receiver.total
        for number in (1, 2):
            call(site, "odd.wide")
            wait_until(lambda: read("plain") == number, "the rest is pushed")  # noqa: B023  called before the next
            assert read("wide") == number * 2**63
            assert read("labelled", a="?") == number
            assert read("weight.wide") == number
        assert said(worker, "the metric 'wide' of the meter 'shop' holds an integer beyond 64 bits") == 1
        assert said(worker, "cannot be pushed|Failed to encode|Traceback") == 0
        assert worker.stop() == 0


@pytest.mark.parametrize("pool", pools("prefork", "threads"))
def test_the_console_writes_the_same(site, pool) -> None:
    """JSON knows no bytes, and no integer of thousands of digits."""
    environment = {"OTEL_METRICS_EXPORTER": "console", "OTEL_METRIC_EXPORT_INTERVAL": "300"}
    worker = site.start(
        app="tests.integration.relay.odd", pool=pool, concurrency=1, environment=environment
    ).wait_ready()
    call(site, "odd.wide")
    wait_until(lambda: '"labelled"' in worker.log and '"weight.wide"' in worker.log, "it is written")
    assert said(worker, "cannot be pushed|Traceback") == 0
    assert worker.stop() == 0
