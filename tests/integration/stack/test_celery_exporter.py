"""Dashboards made for danihodovic/celery-exporter (Grafana 17508 and 17509) go on working, and ours are as before."""

from __future__ import annotations

import http.server
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import yaml

from tests.integration.stack.intervals import hastened
from tests.integration.stack.servers import MONITORING, Server, start_prometheus, wait_until
from tests.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("celery_exporter")

COUNTERS = ("received", "started", "succeeded", "failed", "retried", "rejected", "revoked")
"""The counters that it and we have under one name."""

THEIRS = ("name", "hostname", "queue_name")


class Worker(http.server.BaseHTTPRequestHandler):
    """A worker's port whose numbers are known: every counter grows by 10 a second, and half of the runs take 2 s."""

    begun: ClassVar[float] = time.monotonic()

    def do_GET(self) -> None:
        """Answer in the text format, with our names."""
        body = exposition(10 * (time.monotonic() - self.begun)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


def exposition(count: float) -> str:
    """Write what a worker of one task says after so many runs of it."""
    task = 'worker="trading@host1",task_name="shop.pay",queue="orders"'
    lines = [f"celery_task_{counter}_total{{{task}}} {count}" for counter in COUNTERS if counter != "revoked"]
    lines += [f'celery_task_revoked_total{{{task},reason="expired"}} {count}']
    lines += [f'celery_tasks_total{{{task},status="success"}} {count}']
    for metric in ("celery_task_runtime_seconds", "celery_task_duration_seconds"):
        buckets = {"1.0": count / 2, "2.5": count, "+Inf": count}
        lines += [f'{metric}_bucket{{{task},le="{bound}"}} {number}' for bound, number in buckets.items()]
        lines += [f"{metric}_count{{{task}}} {count}", f"{metric}_sum{{{task}}} {count * 1.5}"]
    lines += ['celery_worker_up{worker="trading@host1"} 1', 'celery_worker_tasks_active{worker="trading@host1"} 2']
    lines += ['celery_worker_pool_size{worker="trading@host1"} 8', 'celery_queue_length{queue="orders"} 7']
    lines += [f'celery_task_published_total{{task_name="shop.pay",queue="orders"}} {count}']
    return "\n".join(lines) + "\n"


@contextmanager
def known_worker() -> Iterator[int]:
    """Serve it; give its port."""
    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Worker)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def configured(port: int, *, switched_on: bool) -> str:
    """Take the job from prometheus.yml, scraping this port each second, and what the head of the file says to add."""
    config: dict[str, Any] = yaml.safe_load(hastened((MONITORING / "prometheus.yml").read_text(), "1s"))
    (job,) = (one for one in config["scrape_configs"] if one["job_name"] == "celery")
    job["static_configs"] = [{"targets": [f"{LOOPBACK}:{port}"], "labels": {"pool": "trading"}}]
    del job["file_sd_configs"]
    rules = [str(MONITORING / "rules.yml")]
    if switched_on:
        job |= yaml.safe_load((MONITORING / "relabel-celery-exporter.yml").read_text())
        rules.append(str(MONITORING / "rules-celery-exporter.yml"))
    return yaml.safe_dump({"global": config["global"], "rule_files": rules, "scrape_configs": [job]})


@pytest.fixture(scope="module")
def prometheuses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Run two that scrape the same worker: one as celery-exporter's users have it, one without."""
    with ExitStack() as running:
        port = running.enter_context(known_worker())

        def start(name: str, *, switched_on: bool) -> Server:
            directory: Path = tmp_path_factory.mktemp(name)
            config = configured(port, switched_on=switched_on)
            return running.enter_context(start_prometheus(config, directory, port=free_port()))

        yield start("with", switched_on=True), start("without", switched_on=False)


@pytest.fixture(scope="module")
def prometheus(prometheuses: tuple[Server, Server]) -> Server:
    """Give the one that celery-exporter's users have, once it has rates."""
    server = prometheuses[0]
    server.wait_for("irate(celery_task_runtime_bucket[1m]) and on () celery_task_sent_total", "rules were evaluated")
    wait_until(lambda: (server.value("count_over_time(up[1m])") or 0) > 5, "there were several scrapes")
    return server


@pytest.mark.parametrize("counter", COUNTERS)
def test_the_counters_answer_to_its_labels(prometheus: Server, counter: str) -> None:
    """As its panels ask for them: chosen by queue_name and name, and summed by each of its labels."""
    chosen = f'celery_task_{counter}_total{{job=~"celery", queue_name=~"orders", queue_name!~"None", name=~"shop.pay"}}'
    moment = str(time.time())
    (ours,) = prometheus.query(f'sum(rate(celery_task_{counter}_total{{task_name="shop.pay"}}[1m]))', time=moment)
    assert float(ours["value"][1]) > 0
    for label, value in (("name", "shop.pay"), ("queue_name", "orders"), ("hostname", "host1")):
        (theirs,) = prometheus.query(f"sum(rate({chosen}[1m])) by ({label})", time=moment)
        assert theirs["metric"] == {label: value}
        assert theirs["value"] == ours["value"]


def test_runtimes_answer_to_its_name(prometheus: Server) -> None:
    """celery_task_runtime, without the unit: quantiles and the mean of a task, as its panels compute them."""
    chosen = '{queue_name=~"orders", name=~"shop.pay", hostname="host1"}[1m]'
    buckets = f"sum(irate(celery_task_runtime_bucket{chosen})) by (name, job, le)"
    median = prometheus.value(f"histogram_quantile(0.50, {buckets})")
    assert median == pytest.approx(1.0, abs=0.1)
    sums = f"sum(rate(celery_task_runtime_sum{chosen})) by (name)"
    assert prometheus.value(f"{sums} / sum(rate(celery_task_runtime_count{chosen})) by (name)") == pytest.approx(1.5)


def test_queues_and_publishers_answer_to_its_names(prometheus: Server) -> None:
    """celery_queue_length has queue_name, and what publishers count is celery_task_sent_total."""
    assert prometheus.value('sum(celery_queue_length{queue_name!~"None"}) by (queue_name)') == 7
    sent = prometheus.value('sum(increase(celery_task_sent_total{queue_name="orders", name="shop.pay"}[1m])) by (name)')
    assert sent is not None
    assert sent > 0


def test_its_variables_have_values(prometheus: Server) -> None:
    """What label_values asks for."""
    series = prometheus.api("series", **{"match[]": 'celery_task_received_total{queue_name!~"None"}'})
    assert {(one["name"], one["queue_name"], one["job"]) for one in series} == {("shop.pay", "orders", "celery")}


def test_workers_answer_without_its_labels(prometheus: Server) -> None:
    """Its panels count and sum them, whatever the host is."""
    assert prometheus.value('count(celery_worker_up{queue_name!~"None"} == 1)') == 1
    assert prometheus.value('sum(celery_worker_tasks_active{queue_name!~"None"})') == 2


def test_our_own_labels_stay(prometheus: Server) -> None:
    """Nothing is renamed: the same series answers to ours."""
    (sample,) = prometheus.query('celery_task_failed_total{task_name="shop.pay", queue="orders"}')
    assert sample["metric"]["worker"] == "trading@host1"


def test_our_own_rules_record_the_same_with_it_and_without(prometheuses: tuple[Server, Server]) -> None:
    """Its labels end where ours are summed up: each recorded series exists in both, with the same labels."""

    def recorded(server: Server) -> set[tuple[tuple[str, str], ...]]:
        found = server.query('{__name__=~"(worker|task|pool).*:.*"}')
        return {tuple(sorted(sample["metric"].items())) for sample in found}

    both, ours = prometheuses
    wait_until(lambda: len(recorded(ours)) > 20, "our rules were evaluated")
    wait_until(lambda: recorded(both) == recorded(ours), f"{recorded(both) ^ recorded(ours)}", 20)
