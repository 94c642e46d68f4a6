"""The stack as compose starts it, from the real binaries: everything is found, scraped, measured and stored.

Prometheus is the pinned 3.13, and Debian's 2.42 beside it. The others are Debian 12's: Alertmanager 0.25, redis
exporter 1.45, PostgreSQL exporter 0.11, VictoriaMetrics 1.79, Redis 7.0, PostgreSQL 15. Compose pins newer ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import redis

from tests.integration.stack import compose_services, composition
from tests.integration.stack.options import switched_on
from tests.integration.stack.servers import Server, fetch, start_prometheus, wait_until
from tests.integration.worker.harness import Worker, start_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stack.compose_services import Site

pytestmark = pytest.mark.xdist_group("stack")

BOTH = pytest.mark.parametrize("version", ["3.13", "2.42"])
STORED = ("up", 'celery_task_received_total{pool="trading"}', "redis_key_size", "pg_up", "sum by (job) (up)")
"""What is asked of Prometheus and of its long-term storage."""


@dataclass
class Stack:
    """What runs."""

    site: Site
    broker: str
    worker: Worker
    prometheuses: dict[str, Server]
    alertmanager: Server
    long_term: Server


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Start everything once, a real worker in the place of the pool trading; the other pools are not there."""
    with ExitStack() as running:
        site = running.enter_context(compose_services.site())
        broker = running.enter_context(site.redis())
        running.enter_context(site.postgres())
        with redis.Redis.from_url(broker) as client:
            client.lpush("pipeline", "one", "two", "three")
        worker = running.enter_context(trading(site, broker))
        running.enter_context(site.queue_exporter(broker))
        names = ("redis-exporter", "postgres-exporter", "alertmanager", "victoria-metrics")
        servers = {name: running.enter_context(site.service(name)) for name in names}
        config = site.copy / "prometheus.yml"
        config.write_text(switched_on(config.read_text(), "long-term storage"))
        pinned = running.enter_context(site.prometheus())
        debian = running.enter_context(start_prometheus(site.copy / "prometheus.yml", site.directory, version="2.42"))
        worker.wait_ready()
        yield Stack(
            site, broker, worker, {"3.13": pinned, "2.42": debian}, servers["alertmanager"], servers["victoria-metrics"]
        )


@contextmanager
def trading(site: Site, broker: str) -> Iterator[Worker]:
    """Run a worker in the place of the pool trading."""
    environment = {"T_BROKER": broker, "PROMETHEUS_PORT": str(site.ports[9101])}
    worker = start_worker(site.directory, pool="threads", environment=environment, name="trading")
    worker.port = site.ports[9101]
    try:
        yield worker
    finally:
        worker.stop()


def healths(prometheus: Server) -> dict[str, str]:
    """Tell how each target is, by its job, and by its pool where it has one."""
    return {target["labels"].get("pool", target["labels"]["job"]): target["health"] for target in prometheus.targets()}


@BOTH
def test_every_target_is_scraped(stack: Stack, version: str) -> None:
    """What runs is up, exporters included; what does not run is down, and nothing is unknown for ever."""
    prometheus = stack.prometheuses[version]
    expected = dict.fromkeys(("trading", "celery-queues", "redis", "postgres", "prometheus", "alertmanager"), "up")
    expected |= dict.fromkeys(("pipeline", "allocation", "market", "general"), "down")
    wait_until(lambda: healths(prometheus) == expected, f"every target is as it should be: {healths(prometheus)}")
    assert prometheus.value('up{job="celery", pool="trading"}') == 1
    assert prometheus.value('up{job="celery", pool="market"}') == 0


@BOTH
def test_a_workers_metrics_arrive_as_its_port_says_them(stack: Stack, version: str) -> None:
    """Whichever format the two agree on, with the target's pool beside the metric's own labels."""
    prometheus = stack.prometheuses[version]
    (sample,) = prometheus.wait_for('celery_worker_up{pool="trading"} == 1', "the worker is up")
    assert sample["metric"]["worker"] == "trading@localhost"
    scrape = stack.worker.scrape()
    for name in ("celery_tasks_total", "celery_task_received_total"):
        expected = len({tuple(sorted(s.labels.items())) for s in scrape.samples if s.name == name})
        assert prometheus.value(f'count({name}{{pool="trading"}})') == expected


@BOTH
def test_the_rules_are_loaded(stack: Stack, version: str) -> None:
    """Of both files that have any; none that was evaluated failed."""
    groups = stack.prometheuses[version].api("rules")["groups"]
    files = {group["file"].rpartition("/")[2] for group in groups}
    assert files - {"expectations.yml"} == {"alerts.yml", "rules.yml"}  # 3.13 leaves out a group without rules
    assert [rule for group in groups for rule in group["rules"] if rule["health"] == "err"] == []


@BOTH
def test_alertmanager_is_found(stack: Stack, version: str) -> None:
    """Under its documented address."""
    prometheus = stack.prometheuses[version]

    def found() -> list[str]:
        return [one["url"] for one in prometheus.api("alertmanagers")["activeAlertmanagers"]]

    assert wait_until(found, "Alertmanager is found") == [f"{stack.alertmanager.url}/api/v2/alerts"]


def test_the_exporters_see_their_servers(stack: Stack) -> None:
    """Redis and PostgreSQL are up, the latter with the password that both profiles share."""
    prometheus = stack.prometheuses["3.13"]
    prometheus.wait_for("redis_up == 1", "Redis is up")
    prometheus.wait_for("pg_up == 1", "PostgreSQL is up")


def test_the_length_of_every_queue_is_known(stack: Stack) -> None:
    """Three messages in one of the documented queues; the others are empty, and say 0 rather than nothing."""
    prometheus = stack.prometheuses["3.13"]
    prometheus.wait_for('redis_key_size{key="pipeline"} == 3', "the queue's length is known")
    lengths = {s["metric"]["key"]: float(s["value"][1]) for s in prometheus.query("redis_key_size")}
    assert lengths == {"trading": 0, "pipeline": 3, "allocation": 0, "market": 0, "general": 0, "celery": 0}


@BOTH
def test_targets_from_a_file_are_discovered(stack: Stack, version: str) -> None:
    """Written by `otel-celery targets` while Prometheus runs, from a pools file of one's own."""
    plan = stack.site.directory / f"pools-{version}.toml"
    plan.write_text(f'[pools."night-{version[0]}"]\napp = "x"\nport = {stack.worker.port}')
    output = stack.site.copy / "targets" / f"{version}.json"
    command = [sys.executable, "-m", "otel_celery.cli", "targets", "--file", str(plan), "--host", "localhost"]
    subprocess.run([*command, "--output", str(output)], check=True, capture_output=True)
    stack.prometheuses[version].wait_for(
        f'up{{job="celery", pool="night-{version[0]}", instance="localhost:{stack.worker.port}"}} == 1',
        "the target in the file is scraped",
    )
    output.unlink()


def test_health_checks_pass_while_their_services_run(stack: Stack) -> None:
    """Each that compose has, Grafana's aside, which cannot run here; VictoriaMetrics is healthy once it is fed."""
    names = [name for name, service in composition.services().items() if service.check and name != "grafana"]
    assert set(names) == {"prometheus", "redis", "postgres", "queue-exporter", *compose_services.PROGRAMS}
    wait_until(lambda: stack.site.check("victoria-metrics").returncode == 0, "VictoriaMetrics is fed")
    for name in names:
        done = stack.site.check(name)
        assert done.returncode == 0, (name, done.stdout, done.stderr)


def answers(server: Server, promql: str, moment: float) -> dict[str, str]:
    """Ask what something was at a moment: a value for each set of labels."""
    samples = server.query(promql, time=str(moment))
    return {json.dumps(sample["metric"], sort_keys=True): sample["value"][1] for sample in samples}


@pytest.mark.parametrize("promql", STORED)
def test_what_is_written_to_long_term_storage_is_what_prometheus_has(stack: Stack, promql: str) -> None:
    """The same question about the same moment has the same answer in both."""
    prometheus = stack.prometheuses["3.13"]
    prometheus.wait_for(promql, "there is something to compare")
    moment = time.time()
    expected = answers(prometheus, promql, moment)
    assert expected

    def same() -> bool:
        return answers(stack.long_term, promql, moment) == expected

    wait_until(same, f"{promql} is {expected}, and in VictoriaMetrics {answers(stack.long_term, promql, moment)}")


def test_prometheus_takes_no_orders(stack: Stack) -> None:
    """The lifecycle and admin APIs are off, and it goes on."""
    prometheus = stack.prometheuses["3.13"]
    for path in ("/-/quit", "/-/reload", "/api/v1/admin/tsdb/snapshot"):
        status, body = fetch(prometheus.url + path, method="POST")
        assert status >= 400
        assert "not enabled" in body or "disabled" in body, (path, body)
    assert prometheus.get("/-/ready")[0] == 200
