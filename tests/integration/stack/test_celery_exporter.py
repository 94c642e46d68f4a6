"""Dashboards and alerts made for danihodovic/celery-exporter go on working, and ours are as before."""

from __future__ import annotations

import http.server
import math
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import yaml

from tests.integration.stack import shop
from tests.integration.stack.answers import play, written
from tests.integration.stack.intervals import hastened
from tests.integration.stack.mixin import ALERTS, COUNTERS, panels
from tests.integration.stack.rulebook import PROMTOOLS
from tests.integration.stack.servers import MONITORING, Server, start_prometheus, wait_until
from tests.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("celery_exporter")

DASHBOARDS = ("overview", "by task", "tasks")
QUEUE = 'queue="orders"'
TASK = f'task_name="shop.pay",{QUEUE}'
WORKERS = f'worker="trading@host1",{TASK}'


class Targets(http.server.BaseHTTPRequestHandler):
    """A worker, a queue exporter and a web process, whose numbers are known: every counter grows by 10 a second."""

    begun: ClassVar[float] = time.monotonic()

    def do_GET(self) -> None:
        """Answer in the text format, with our names."""
        told = {"/metrics": of_a_worker, "/queues": of_queues, "/web": of_a_publisher}[self.path]
        body = ("\n".join(told(10 * (time.monotonic() - self.begun))) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


def of_a_worker(count: float) -> Iterator[str]:
    """Write what a worker of one task says after so many runs of it, half of which take 2 s, and wait for as long."""
    for counter in COUNTERS:
        reason = ',reason="expired"' if counter == "revoked" else ""
        yield f"celery_task_{counter}_total{{{WORKERS}{reason}}} {count}"
    yield f'celery_task_failures_by_exception_total{{{WORKERS},exception="ValueError"}} {count}'
    yield f'celery_tasks_total{{{WORKERS},status="success"}} {count}'
    for metric in ("runtime", "duration", "queue_wait"):
        for bound, number in {"1.0": count / 2, "2.5": count, "+Inf": count}.items():
            yield f'celery_task_{metric}_seconds_bucket{{{WORKERS},le="{bound}"}} {number}'
        yield f"celery_task_{metric}_seconds_count{{{WORKERS}}} {count}"
        yield f"celery_task_{metric}_seconds_sum{{{WORKERS}}} {count * 1.5}"
    for level, value in {"up": 1, "tasks_active": 2, "pool_size": 8}.items():
        yield f'celery_worker_{level}{{worker="trading@host1"}} {value}'
    yield f'celery_worker_queue_info{{worker="trading@host1",{QUEUE}}} 1'
    yield f'celery_task_published_total{{worker="trading@host1",{TASK}}} {count}'


def of_queues(_: float) -> Iterator[str]:
    """Write what a queue exporter says of one queue: more waits than its alert allows."""
    yield f"celery_queue_length{{{QUEUE}}} 700"


def of_a_publisher(count: float) -> Iterator[str]:
    """Write what a web process says."""
    yield f"celery_task_published_total{{{TASK}}} {count}"


@contextmanager
def known_targets() -> Iterator[int]:
    """Serve them; give their port."""
    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Targets)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def configured(targets: Mapping[str, str], directory: Path, *, switched_on: bool) -> str:
    """Take the job from prometheus.yml, scraping these targets each second, and what the head of the file says to add.

    ``targets`` has an address, and the path that is scraped there, for each job.
    """
    config: dict[str, Any] = yaml.safe_load(hastened((MONITORING / "prometheus.yml").read_text(), "1s"))
    (workers,) = (one for one in config["scrape_configs"] if one["job_name"] == "celery")
    del workers["file_sd_configs"]
    jobs = [workers, *({"job_name": name} for name in targets if name != "celery")]
    for job in jobs:
        address, _, path = targets[job["job_name"]].partition("/")
        job.update(metrics_path=f"/{path}", static_configs=[{"targets": [address]}])
    workers["static_configs"][0]["labels"] = {"pool": "trading"}
    (directory / "rules.yml").write_text(hastened((MONITORING / "rules.yml").read_text(), "1s"))
    rules = ["rules.yml"]
    if switched_on:
        for job in jobs[:2]:
            assert job["job_name"] in {"celery", "celery-queues"}
            job.update(yaml.safe_load((MONITORING / "relabel-celery-exporter.yml").read_text()))
        alerts = [{"alert": name, "expr": alert, "for": "1h"} for name, alert in ALERTS.items()]
        (directory / "mixin.yml").write_text(yaml.safe_dump({"groups": [{"name": "mixin", "rules": alerts}]}))
        rules += [str(MONITORING / "rules-celery-exporter.yml"), "mixin.yml"]
    return yaml.safe_dump({"global": config["global"], "rule_files": rules, "scrape_configs": jobs})


@pytest.fixture(scope="module")
def prometheuses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Run two that scrape the same targets: one as celery-exporter's users have it, one without."""
    with ExitStack() as running:
        address = f"{LOOPBACK}:{running.enter_context(known_targets())}"
        paths = {"celery": "metrics", "celery-queues": "queues", "web": "web"}
        targets = {job: f"{address}/{path}" for job, path in paths.items()}

        def start(name: str, *, switched_on: bool) -> Server:
            directory: Path = tmp_path_factory.mktemp(name)
            config = configured(targets, directory, switched_on=switched_on)
            return running.enter_context(start_prometheus(config, directory, port=free_port()))

        yield start("with", switched_on=True), start("without", switched_on=False)


@pytest.fixture(scope="module")
def prometheus(prometheuses: tuple[Server, Server]) -> Server:
    """Give the one that celery-exporter's users have, once it has rates."""
    server = prometheuses[0]
    server.wait_for("irate(celery_task_runtime_bucket[1m]) and on () celery_task_sent_total", "rules were evaluated")
    wait_until(lambda: (server.value("count_over_time(up{job='web'}[1m])") or 0) > 5, "there were several scrapes")
    return server


def without_data(server: Server, asked: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """List the panels, with their expressions, that answer with no sample, or with one that is no number."""

    def has_data(expression: str) -> bool:
        values = [float(found["value"][1]) for found in server.query(expression)]
        return bool(values) and not any(map(math.isnan, values))

    return [(title, expression) for title, expression in asked if not has_data(expression)]


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_every_panel_has_data(prometheus: Server, dashboard: str) -> None:
    """Each of the mixin's panels, chosen by the values that its variables find, answers with numbers."""
    asked = list(panels(dashboard))
    assert len(asked) > 20
    assert without_data(prometheus, asked) == []


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_its_panels_of_exceptions_name_them(prometheus: Server, dashboard: str) -> None:
    """As they are; beside the class stands its series without one, which is zero, as in celery-exporter."""
    asked = {expression for _, expression in panels(dashboard) if "exception" in expression}
    assert asked
    for expression in asked:
        found = {one["metric"].get("exception", ""): float(one["value"][1]) for one in prometheus.query(expression)}
        assert found.pop("ValueError") > 0
        assert found in ({}, {"": 0})


def test_no_failure_is_counted_twice(prometheuses: tuple[Server, Server]) -> None:
    """Every task that succeeds here fails as well: all exceptions together are as many, with its names and without."""
    failed, succeeded = (f"sum(rate(celery_task_{ended}_total[1m]))" for ended in ("failed", "succeeded"))
    for server in prometheuses:
        assert server.value(f"{failed} / {succeeded}") == pytest.approx(1, abs=0.3)


HISTORIES = {
    "its class's first failure": ("0x80 0x19 1x141", "_x80 _x19 1x141", 1.0),
    "of a worker that is new": ("_x100 5x140", "_x100 5x140", 0.0),
    "after a gap that Prometheus had": ("5x60 _x60 5x120", "5x60 _x60 5x120", 0.0),
    "before and after a restart": ("3x120 0x20 2x100", "3x120 stale _x19 2x100", 2.0),
    "as soon as it came back": ("3x120 0 2x120", "3x120 stale 2x120", 2.0),
}
"""What a worker has counted in all and of one class, four times a minute, and how many of these are news."""


@pytest.mark.parametrize("version", PROMTOOLS)
@pytest.mark.parametrize("history", HISTORIES)
def test_increase_sees_a_first_failure_and_nothing_old(history: str, version: str, tmp_path: Path) -> None:
    """A class that a worker has just raised begins at zero; without the relabelling nothing is recorded at all."""
    whole, of_one, news = HISTORIES[history]
    labels = {"job": "celery", "instance": "a:1", "worker": "trading@host1", "task_name": "shop.pay", "queue": "orders"}
    by_class = written("celery_task_failures_by_exception_total", {**labels, "exception": "ValueError"}, of_one)
    asked = {"round(sum(increase(celery_task_failed_total[59m])))": {"{}": news}}
    rules = str(MONITORING / "rules-celery-exporter.yml")
    renamed = written("celery_task_failures_total", labels, whole)
    assert play(tmp_path, version, [by_class, renamed], asked, rules) == ""
    nothing: dict[str, dict[str, float]] = {"celery_task_failed_total": {}}
    assert play(tmp_path, version, [by_class], nothing, rules) == ""


@pytest.mark.timeout(240)
def test_every_panel_has_data_of_real_processes(tmp_path: Path) -> None:
    """A worker, a queue exporter, beat and a publisher, whose one task ends in every way, fill all three dashboards."""
    left = [panel for dashboard in DASHBOARDS for panel in panels(dashboard)]
    with shop.running(tmp_path) as addresses:
        targets = {job: f"{address}/metrics" for job, address in addresses.items()}
        with start_prometheus(configured(targets, tmp_path, switched_on=True), tmp_path) as server:
            deadline = time.monotonic() + 120
            while left and time.monotonic() < deadline:
                left = without_data(server, left)
                time.sleep(0.5)
            assert left == []
            sent = server.query("sum by (instance) (celery_task_sent_total{name='shop.pay', queue_name='orders'})")
            publishers = {one["metric"]["instance"] for one in sent if float(one["value"][1])}
    assert publishers >= {addresses["celery"], addresses["web"]}


def test_its_variables_have_values(prometheus: Server) -> None:
    """What label_values asks for."""
    for metric in ("celery_task_received_total", "celery_task_sent_total"):
        series = prometheus.api("series", **{"match[]": f'{metric}{{queue_name!~"None"}}'})
        assert {(one["name"], one["queue_name"], one["job"]) for one in series} == {("shop.pay", "orders", "celery")}
    assert {one["job"] for one in prometheus.api("series", **{"match[]": "celery_worker_up"})} == {"celery"}


def test_its_alerts_load_and_see(prometheus: Server) -> None:
    """They are evaluated without an error; those that are about what is wrong here hold, with its labels."""

    def loaded() -> dict[str, dict[str, Any]]:
        groups = prometheus.api("rules", type="alert")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    wait_until(lambda: {rule["health"] for rule in loaded().values()} == {"ok"}, "the alerts were evaluated")
    held = {name: rule["alerts"] for name, rule in loaded().items()}
    assert held["CeleryWorkerDown"] == []
    (failing,), (length,) = held["CeleryTaskHighFailRate"], held["CeleryHighQueueLength"]
    assert (failing["labels"]["name"], failing["labels"]["queue_name"]) == ("shop.pay", "orders")
    assert (length["labels"]["queue_name"], length["value"]) == ("orders", "7e+02")


@pytest.mark.parametrize("counter", COUNTERS)
def test_the_counters_answer_to_its_labels(prometheus: Server, counter: str) -> None:
    """The same figure, summed by each of its labels."""
    moment = str(time.time())
    (ours,) = prometheus.query(f'sum(rate(celery_task_{counter}_total{{task_name="shop.pay"}}[1m]))', time=moment)
    assert float(ours["value"][1]) > 0
    for label, value in (("name", "shop.pay"), ("queue_name", "orders"), ("hostname", "host1")):
        (theirs,) = prometheus.query(f"sum(rate(celery_task_{counter}_total[1m])) by ({label})", time=moment)
        assert theirs["metric"] == {label: value}
        assert theirs["value"] == ours["value"]


def test_what_has_another_name_has_the_same_figures(prometheus: Server) -> None:
    """Runtimes and waits without the unit, and what was sent, by workers and by others; who consumes a queue."""
    for metric in ("celery_task_runtime", "celery_task_queue_wait_time"):
        chosen = f'{metric}_bucket{{name="shop.pay", queue_name="orders", hostname="host1"}}[1m]'
        median = prometheus.value(f"histogram_quantile(0.50, sum(irate({chosen})) by (name, job, le))")
        assert median == pytest.approx(1.0, abs=0.1)
        mean = prometheus.value(f"sum(rate({metric}_sum[1m])) / sum(rate({metric}_count[1m]))")
        assert mean == pytest.approx(1.5)
    of_workers = 'count(celery_task_sent_total{queue_name="orders", name="shop.pay", hostname="host1"})'
    assert prometheus.value(of_workers) == 1
    assert prometheus.value('count(celery_task_sent_total{queue_name="orders", name="shop.pay"})') == 2
    for what, number in {"worker": 1, "process": 8, "consumer": 1}.items():
        assert prometheus.value(f'celery_active_{what}_count{{queue_name="orders"}}') == number


def test_our_own_labels_stay(prometheus: Server) -> None:
    """No label is renamed: the same series answer to ours."""
    for counter in COUNTERS:
        samples = prometheus.query(f'celery_task_{counter}_total{{task_name="shop.pay", queue="orders"}}')
        assert {sample["metric"]["worker"] for sample in samples} == {"trading@host1"}


def test_our_own_rules_record_the_same_with_it_and_without(prometheuses: tuple[Server, Server]) -> None:
    """Its labels end where ours are summed up: each recorded series exists in both, with the same labels."""

    def recorded(server: Server) -> set[tuple[tuple[str, str], ...]]:
        found = server.query('{__name__=~"(worker|task|pool).*:.*"}')
        return {tuple(sorted(sample["metric"].items())) for sample in found}

    both, ours = prometheuses
    wait_until(lambda: len(recorded(ours)) > 20, "our rules were evaluated")
    wait_until(lambda: recorded(both) == recorded(ours), f"{recorded(both) ^ recorded(ours)}", 20)
