"""Real workers that push: through an agent, through an outage of 30 seconds, and through gateways as deltas."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import pytest
import yaml

from tests.integration.collector import readme
from tests.integration.collector.collector import running
from tests.integration.collector.conftest import secured_by
from tests.integration.collector.load import play
from tests.integration.collector.series import MOVING, assert_same, ended, shown, stored
from tests.integration.collector.store import Prometheus, VictoriaMetrics
from tests.integration.worker.harness import ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.collector.collector import Collector
    from tests.integration.collector.series import Series
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

pytestmark = pytest.mark.xdist_group("collector-push")

PUSH = {"OTEL_METRICS_EXPORTER": "prometheus,otlp", "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
OUTAGE = 30.0
SCRIPT = """
from celery import Celery
from otel_celery import instrument
app = Celery("shop", broker="memory://")
instrument(app)
app.send_task("shop.order")
"""


class Pushed(NamedTuple):
    """Two real workers that push to an agent, and a Prometheus that scrapes that."""

    site: Site
    workers: list[Worker]
    agent: Collector
    store: Prometheus

    def arrives_at(self, ask: Callable[[], Series]) -> int:
        """Wait until a place has as many ended tasks as the ports have, then compare every series.

        What has left the ports, such as the age of a task that no longer runs, stays until it expires.
        """
        own = shown(*(worker.scrape() for worker in self.workers))
        wait_until(lambda: ended(ask()) == ended(own), "the last tasks' ends have arrived")
        with contextlib.suppress(AssertionError):  # the comparison says more
            wait_until(lambda: ask().keys() == own.keys(), "what has ended has expired", 60)
        return assert_same(own, ask())


@pytest.fixture(scope="module")
def pushed(otelcol: str, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    """Start an agent, a Prometheus that scrapes it as README says, and two workers that push by either protocol."""
    environment = {"OTELCOL_EXPORTERS": "[prometheus]", "OTELCOL_EXPIRATION": "10s"}
    with running(otelcol, "agent", tmp_path_factory.mktemp("agent"), environment) as agent:
        config = yaml.safe_load(readme.block("scrape").replace("127.0.0.1:8889", agent.address("PROMETHEUS")))
        config["global"] = {"scrape_interval": "1s"}
        store = Prometheus(tmp_path_factory.mktemp("store"), yaml.safe_dump(config))
        http = {**PUSH, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{agent.address('HTTP')}"}
        grpc = {**PUSH, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{agent.address('GRPC')}"}
        workers = [
            site.start(name="http", environment=http),
            site.start(name="grpc", pool="threads", environment={**grpc, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}),
        ]
        with store.running():
            for worker in workers:
                worker.wait_ready()
            play(site, *workers)
            yield Pushed(site, workers, agent, store)


def test_shows_what_the_ports_show(pushed):
    """Each series of both workers is on the agent's port, with its labels and value, and nothing else is."""
    assert pushed.arrives_at(lambda: shown(pushed.agent.scrape())) > 300


def test_stays_the_workers_own_in_prometheus(pushed):
    """A Prometheus that scrapes the agent as README says has the same series, and the workers' job and instance."""
    assert pushed.arrives_at(lambda: stored(pushed.store)) > 300
    instances = {row["labels"]["instance"] for row in pushed.store.query("celery_worker_up")}
    assert instances == pushed.agent.scrape().labels("celery_worker_up", "instance")
    assert len(instances) == 2
    joined = 'celery_worker_up * on (job, instance) group_left (host_name) target_info{host_name!=""}'
    assert len(pushed.store.query(joined)) == 2


def test_loses_no_count_while_it_is_away(pushed):
    """Tasks that end while the agent is stopped, for 30 seconds, are counted when it is back."""
    before = ended(shown(pushed.agent.scrape()))
    pushed.agent.stop()
    stopped = time.monotonic()
    play(pushed.site, *pushed.workers)
    wait_until(lambda: time.monotonic() > stopped + OUTAGE, "30 seconds are over", OUTAGE + 5)
    pushed.agent.start()
    assert pushed.arrives_at(lambda: shown(pushed.agent.scrape())) > 300
    assert ended(shown(pushed.agent.scrape())) > before


def test_a_script_tells_when_it_began_to_count(pushed):
    """It publishes, pushes and ends, and has no ``up``: rules read this gauge, which has the labels of its counts."""
    before = time.time()
    address = f"http://{pushed.agent.address('HTTP')}"
    environment = {"PYTHONPATH": str(ROOT), "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": address}
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, env=environment, timeout=60)
    counted = 'celery_task_published_total{job="shop"}'
    start = f"otel_celery_start_timestamp_seconds and ignoring (task_name, queue) {counted}"
    wait_until(lambda: pushed.store.query(start), "the script's figures are there")
    assert before < pushed.store.value(start) < time.time()


def test_arrives_as_sums_through_a_gateway(otelcol, site, credentials, tmp_path_factory):
    """A worker that pushes deltas over TLS with a token, as README says: the store has its port's counts, as sums."""
    store = VictoriaMetrics(tmp_path_factory.mktemp("store"))
    environment = {**secured_by(credentials), "OTELCOL_REMOTE_WRITE_URL": store.write_url}
    with store.running(), running(otelcol, "gateway", tmp_path_factory.mktemp("gateway"), environment) as gateway:
        how = by_gateway(gateway, credentials)
        worker = site.start(name="delta", environment=how, arguments=("-Q", "delta")).wait_ready()
        play(site, worker, queue="delta")
        own = counts(shown(worker.scrape()))
        wait_until(lambda: counts(stored(store)) == own, "the store has the port's counts", 60)
        assert ended(own)
        worker.stop()


def test_arrives_as_native_histograms_through_a_gateway(otelcol, site, credentials, tmp_path_factory):
    """Exponential buckets, which README offers to save series: one a task name, which Prometheus can count and sum."""
    store = Prometheus(tmp_path_factory.mktemp("store"))
    environment = {**secured_by(credentials), "OTELCOL_REMOTE_WRITE_URL": store.write_url}
    with store.running(), running(otelcol, "gateway", tmp_path_factory.mktemp("gateway"), environment) as gateway:
        how = {**by_gateway(gateway, credentials), "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "cumulative"}
        how["OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"] = "base2_exponential_bucket_histogram"
        worker = site.start(name="native", environment=how, arguments=("-Q", "native")).wait_ready()
        play(site, worker, queue="native")
        count, total = (worker.scrape().value(f"celery_task_duration_seconds_{part}") for part in ("count", "sum"))
        expression = "histogram_count(celery_task_duration_seconds)"
        wait_until(lambda: sum(values(store.query(expression))) == count, "every task has arrived", 60)
        assert sum(values(store.query(expression.replace("count", "sum")))) == pytest.approx(total)
        assert store.query("celery_task_duration_seconds_bucket") == []
        worker.stop()


def values(rows: list[dict[str, Any]]) -> list[float]:
    """Give the values of a query's answer."""
    return [row["value"] for row in rows]


def by_gateway(gateway: Collector, credentials: Path) -> dict[str, str]:
    """Say what README says of a worker that pushes to a gateway."""
    token = (credentials / "token").read_text().strip()
    return {
        **PUSH,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://localhost:{gateway.ports['HTTP']}",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(credentials / "server.pem"),
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={quote(f'Bearer {token}')}",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        **dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), ""),  # where set, requests prefers them
    }


def counts(found: Series) -> Series:
    """Pick the counters and the histograms' counts that are not zero, and stand still once nothing runs."""
    counted = {key: value for key, value in found.items() if value and key[0].endswith(("_total", "_count"))}
    return {key: value for key, value in counted.items() if not key[0].startswith(MOVING)}
