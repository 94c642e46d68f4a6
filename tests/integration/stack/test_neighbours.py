"""What shares a Prometheus with a pool: another environment at the same addresses, and what other teams watch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from devops.monitoring.dashboard import alerts as dashboards_alerts
from devops.monitoring.dashboard import promql
from otel_celery.catalogue import METRICS, Kind
from otel_celery.record.reference import exported_name
from tests.integration.stack.answers import play, written
from tests.integration.stack.expressions import ONE, of_the_dashboards
from tests.integration.stack.rulebook import PROMTOOLS, alerts, metrics, rules
from tests.integration.stack.servers import MONITORING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.stack.answers import Series

BOTH = pytest.mark.parametrize("version", PROMTOOLS)
THEIRS = "rules-celery-exporter.yml"
MERGING = re.compile(r"\b(?:by|on) \(")
JOINED = re.compile(r"\bon \(")

ENVIRONMENTS = {"production": 1, "staging": 2}
"""Each has all numbers so many times."""
WORKER = {"worker": ONE["worker"], "task_name": ONE["task"], "queue": "orders"}
TARGET = {"job": "celery", "instance": "host:9101", "pool": "trading"}
JOINED_WITH_WORKERS = 11
"""CPU, memory, descriptors, Uptime and the restarts, of all and of one; and Workers Now."""

EXPORTERS = ("celery-exporter", "celeryd-node")
"""Jobs of other teams whose names are like ours: another exporter for Celery, and something else."""


def labels_of(name: str) -> Iterator[dict[str, str]]:
    """Give the labels of a metric that the dashboards ask for: those of the catalogue, of a level, or of others."""
    known = {exported_name(metric): metric for metric in METRICS}
    base = re.sub(r"_(?:bucket|sum|count)$", "", name)
    if name in known or base in known:
        metric = known.get(name) or known[base]
        its_own = {label: WORKER.get(label, label) for label in metric.attributes}
        bounds = ("1", "+Inf") if metric.kind is Kind.HISTOGRAM and name.endswith("_bucket") else (None,)
        yield from ({**TARGET, **its_own, **({"le": bound} if bound else {})} for bound in bounds)
    elif name in promql.FOREIGN:
        firing = {"alertname": "CeleryWorkerDown", "alertstate": "firing"}
        own = {label: {**firing, **WORKER}.get(label, label) for label in promql.FOREIGN[name]}
        yield {**TARGET, **own, "job": promql.JOBS.get(name.partition("_")[0], TARGET["job"])}
    else:
        known_labels = {**TARGET, **WORKER, "status": "success"}
        level = promql.RECORDED.get(name.partition(":")[0], ("job", "instance", "pool"))
        yield {label: known_labels[label] for label in level if label != promql.ENVIRONMENT}


def two_environments() -> Iterator[Series]:
    """Give every metric that a dashboard asks for, twice, with the same labels but one."""
    named = {name for one in of_the_dashboards() for name in metrics(one.filled())}
    for name in sorted(named):
        for labels in labels_of(name):
            for environment, times in ENVIRONMENTS.items():
                yield written(name, {**labels, "env": environment}, f"{times}+{times}x240")


def test_every_join_keeps_what_tells_environments_apart() -> None:
    """Labels are taken away by name, none is listed to join on: in dashboards, and for celery-exporter's users."""
    joined = [one for one in of_the_dashboards() if JOINED.search(one.text)]
    assert [one.place for one in joined] == []
    merging = [rule["record"] for rule in rules((MONITORING / THEIRS).read_text()) if MERGING.search(rule["expr"])]
    assert merging == []


@BOTH
def test_two_environments_at_one_address_break_no_panel(version: str, tmp_path: Path) -> None:
    """Each expression is evaluated, and what is joined with a worker's name draws the two as one."""
    every = {one.filled(): one.place for one in of_the_dashboards()}
    joined = [text for text in every if "group_left" in text]
    assert len(joined) == JOINED_WITH_WORKERS
    # No version is new here.
    asked = {
        f"group({text}){' or vector(1)' * place.endswith('Deploys')}": {"{}": 1.0} for text, place in every.items()
    }
    asked |= {f"count({text})": {"{}": 1.0} for text in joined}
    assert play(tmp_path, version, [*two_environments()], asked) == ""


@BOTH
def test_the_worst_of_two_workers_of_one_name_is_shown(version: str, tmp_path: Path) -> None:
    """One is down in a cluster, which is not the environment's label; one that two targets tell of is up."""
    status = {
        one.place: one.filled() for one in of_the_dashboards({"worker": ONE["worker"]}) if "Status A" in one.place
    }
    worker = {**TARGET, "worker": ONE["worker"]}
    series = []
    for cluster, instance, up in (("east", "a:1", 1), ("east", "b:1", 0), ("west", "a:1", 1)):
        labels = {"cluster": cluster, "instance": instance}
        series += [written("celery_worker_up", {**worker, **labels}, f"{up}x240")]
        series += [written("celery_worker_draining", {**worker, **labels}, "0x240")]
    asked = {
        status["dashboard: Worker Status A"]: {'{pool="trading", worker="trading@localhost"}': 1.0},
        status["worker: Status A"]: {'{worker="trading@localhost"}': 1.0},
    }
    assert play(tmp_path, version, series, asked) == ""
    series[4]["values"] = "0x240"
    assert play(tmp_path, version, series, {text: dict.fromkeys(found, 0.0) for text, found in asked.items()}) == ""


@BOTH
def test_celery_exporters_names_keep_environments_apart(version: str, tmp_path: Path) -> None:
    """The processes and consumers of a queue, where one environment's broker tells of consumers and one's does not."""
    target, queue = {**TARGET, "worker": ONE["worker"]}, {"queue": "orders"}
    series = [
        written("celery_queue_consumers", {"job": "celery-queues", "instance": "q", **queue, "env": "staging"}, "5x240")
    ]
    for environment, times in ENVIRONMENTS.items():
        labels = {**target, "env": environment}
        series += [written("celery_worker_queue_info", {**labels, **queue}, "1x240")]
        series += [written("celery_worker_pool_size", labels, f"{times * 4}x240")]
        # The same worker behind another target as well.
        series += [written("celery_worker_queue_info", {**labels, **queue, "instance": "again"}, "1x240")]
        series += [written("celery_worker_pool_size", {**labels, "instance": "again"}, f"{times * 4}x240")]

    def found(what: str, production: float, staging: float) -> dict[str, float]:
        its_own = f'{{__name__="celery_active_{what}_count", job="celery", queue="orders", queue_name="orders", env='
        return {f'{its_own}"production"}}': production, f'{its_own}"staging"}}': staging}

    counts = {"process": (4, 8), "worker": (1, 1), "consumer": (1, 5)}
    asked = {f"celery_active_{what}_count": found(what, *values) for what, values in counts.items()}
    assert play(tmp_path, version, series, asked, str(MONITORING / THEIRS)) == ""


@BOTH
def test_all_jobs_are_those_that_otel_celery_tells_of(version: str, tmp_path: Path) -> None:
    """Those of beat and the queue exporter for a day, and the workers' though none ever answered; nobody else's."""
    (variable, *_) = (one.filled() for one in of_the_dashboards() if one.place.endswith(": $job"))
    short = "1x40"
    series = [
        written("target:celery_up:state", {"job": "celery", "instance": "never"}, "0x240"),
        written("celery_worker_info", {"job": "pushed", "worker": "a@b"}, "1x240"),
        written("celery_task_published_total", {"job": "web", "queue": "orders"}, "1x240"),
        written("celery_beat_entries", {"job": "beat"}, short),
        written("otel_celery_queue_last_refresh_timestamp_seconds", {"job": "queues"}, short),
        written("pool_task:celery_task_last_success_timestamp_seconds:max", {"job": "gone", "pool": "a"}, "1x240"),
    ]
    ours = ("celery", "pushed", "web", "beat", "queues", "gone")
    for job in EXPORTERS:
        series += [
            written("up", {"job": job}, "1x240"),
            written("celery_worker_up", {"job": job, "hostname": "h"}, "1x240"),
        ]
        series += [written("celery_queue_length", {"job": job, "queue_name": "q"}, "1x240")]
    assert (
        play(tmp_path, version, series, {f"group({variable}) by (job)": {f'{{job="{job}"}}': 1.0 for job in ours}})
        == ""
    )


@BOTH
def test_alerts_and_queues_of_others_stay_out(version: str, tmp_path: Path) -> None:
    """An alert is known by its name and its job, and a queue by our label."""
    panels = {one.place: one.filled({"job": "(celery|web)"}) for one in of_the_dashboards()}
    theirs = [("CeleryHighQueueLength", ""), ("CeleryTaskHighFailRate", "celery"),
              ("CeleryWorkerDown", "celery-exporter"), ("RedisDown", "billing"), ("Watchdog", "")]  # fmt: skip
    ours = [("CeleryWorkerDown", "celery"), ("CeleryQueueNotConsumed", ""), ("HighTaskFailureRate", "celery"),
            ("RedisDown", "redis"), ("CelerySeriesDropped", "prometheus")]  # fmt: skip
    series = [
        written("ALERTS", {"alertname": name, "job": job, "alertstate": "firing", "severity": "critical"}, "1x240")
        for name, job in (*theirs, *ours)
    ]
    length = "queue:celery_queue_length:max"
    series += [written(length, {"queue": "orders"}, "7x240"), written(length, {"env": "theirs"}, "9x240")]
    firing = {f'{{alertname="{name}", severity="critical"}}': 1.0 for name, _ in ours}
    asked = {panels["dashboard: Firing Alerts A"]: firing, panels["dashboard: Alerts"]: firing}
    asked[panels["dashboard: Queue Length A"]] = {'{queue="orders"}': 7.0}
    assert play(tmp_path, version, series, asked) == ""


def test_the_dashboards_know_every_alert() -> None:
    """Of alerts.yml, those about what stands beside the workers among them."""
    assert [*dashboards_alerts.NAMES] == [*alerts()]
    assert {*dashboards_alerts.BESIDE} < {*alerts()}
