"""Every expression that users are given answers with data: on the demo under load, or where its condition holds."""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from otel_celery import catalogue
from otel_celery.record.reference import exported_name
from tests.integration.stack.expressions import (
    CONTRACT,
    Expression,
    of_page,
    of_the_dashboards,
    of_the_pages,
    of_the_rules,
)
from tests.integration.stack.expressions import ONE as DEMO
from tests.integration.stack.failing_history import ONE, before, deploy, remembered
from tests.integration.stack.running_stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.integration.stack.servers import Server

pytestmark = [pytest.mark.xdist_group("queries"), pytest.mark.timeout(240)]

EXPRESSIONS_OF_THE_CONTRACT = 6

MANY, FEW = 100, 5
LONG = "10m"
"""A window in which the history still has samples once it has been over for some minutes."""
PATIENCE = 120
"""Seconds in which everything that is not listed below must have answered."""

EMPTY_IN_HEALTH = {
    r"alerting: .*": "an alert's expression says what is wrong, and nothing is",
    r"(dashboard|task|worker): (Alerts|Firing Alerts.*)": "no alert fires",
    r"(dashboard|task|worker): Deploys": "no version changed",
    r"dashboard: Queues Nobody Consumes B": "each queue has its pool",
    r"(dashboard|worker): (Timeouts|Revocations and Rejections) B": "none has one; of all together there is a zero",
    r"RUNBOOK\.md: (celery_worker_broker_connected == 0|otel_celery_\w+ > 0|\{__name__.*)": "nothing is wrong",
    r"(dashboard|task): Publish Failures A": "publishing works",
    r"RUNBOOK\.md: .*celery_task_publish_failures_total.*": "publishing works",
    r"(RUNBOOK\.md|dashboard|recording): .*[Oo]ldest.[Mm]essage.*": "the demo's queues are empty, or their age unknown",
    r"worker: Its Queues C": "the same",
    r"(dashboard|task): (Since the Last Tick|Entries|Sent by Beat|Lag of Beat .*|Beat's Failures) .": "it has no beat",
    r"RUNBOOK\.md: .*beat_.*": "it has no beat",
    r"RUNBOOK\.md: .*WorkerLostError.*": "no child was lost",
    r"RUNBOOK\.md: .*reports\.nightly.*": "the demo has no such task",
    r"(RUNBOOK\.md|recording): (pool:celery_worker_up|task:celery_task_received):expected": "expectations.yml is empty",
    r"recording: pool:celery_worker_draining:max": "no worker drains",
    r"recording: queue:celery_queue_length:unconsumed": "each queue has its pool",
    r"recording: target_worker:celery_worker_up:again": "no two workers have one name",
    r"recording: target_worker:celery_worker_up:unjudged": "no worker pushes",
    r"RUNBOOK\.md: count by \(job, pool, worker\).*": "no two workers have one name",
    r"RUNBOOK\.md: sum by \(task_name.*\(increase\(celery_task_re(voked|jected)_total.*": "no task was",
    r"compare\.md: celery_worker_up == 0 or .*": "it is an alert's",
    r"contract\.md: celery_worker_up == 0": "it is an alert's",
    r"contract\.md: rate\(celery_task_failed_total\[5m\]\) > 0\.1": "it is an alert's",
}
"""Expressions, by their place, that a healthy system gives no data for, and why; `sickness` has some for each."""

WITHOUT_TARGETS = {"alerting: CeleryTargetsMissing"}
"""What is about having nothing to scrape."""

DEPLOYS = {"dashboard: Deploys", "task: Deploys", "worker: Deploys"}
"""What is about the moment at which a version came."""


@pytest.fixture(scope="module")
def started() -> float:
    """Tell when the plant was started, before anything in it was."""
    return time.time()


@pytest.fixture(scope="module")
def live(started: float) -> Iterator[Server]:
    """Give a Prometheus that scrapes the demo under load, and all that stands beside it."""
    assert started
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a Prometheus that remembers how everything went wrong."""
    with remembered(tmp_path_factory.mktemp("sick")) as server:
        yield server


def test_every_expression_answers_on_the_demo_under_load(live: Server, started: float) -> None:
    """Dashboard, rules and pages: each has data within two minutes, or is listed as empty in health."""
    pending = [expression for expression in _all(live) if not _is_listed(expression)]
    assert len(pending) > MANY
    deadline = time.monotonic() + PATIENCE
    while pending and time.monotonic() < deadline:
        pending = [one for one in pending if not _figures(live, one.filled(since=started))]
        time.sleep(0.5)
    assert [f"{one.place}: {one.filled()}" for one in pending] == []


def test_every_legend_has_its_labels(live: Server, started: float) -> None:
    """No series is drawn under a name with a hole in it."""
    for expression in of_the_dashboards():
        for sample in live.query(expression.filled(since=started)):
            holes = [label for label in expression.labels if not sample["metric"].get(label)]
            assert not holes, f"{expression.place}: {sample['metric']}"


@pytest.mark.parametrize("chosen", ["trading", "trading|market"])
def test_panels_follow_the_choice_of_pools(live: Server, started: float, chosen: str) -> None:
    """One pool or several: what has a pool, or a worker, is of those that were chosen."""
    pools = set(chosen.split("|"))
    answered = 0
    for expression in of_the_dashboards():
        if "$pool" in expression.text:
            samples = live.query(expression.filled({"pool": f"({chosen})"}, since=started))
            found = {sample["metric"]["pool"] for sample in samples if "pool" in sample["metric"]}
            found |= {sample["metric"]["worker"].split("@")[0] for sample in samples if "worker" in sample["metric"]}
            assert found <= pools, expression.place
            answered += found == pools
    assert answered > MANY // 4


@pytest.mark.parametrize(
    ("variable", "label", "chosen"),
    [("worker", "worker", "market@localhost"), ("task", "task_name", "market.quote"), ("queue", "queue", "market")],
)
def test_panels_follow_every_other_choice(live: Server, started: float, variable: str, label: str, chosen: str) -> None:
    """Whatever has a worker, a task or a queue is of the one that was chosen."""
    answered = 0
    for expression in of_the_dashboards({variable: chosen}):
        if f"${variable}" in expression.text:
            samples = live.query(expression.filled({variable: chosen}, since=started))
            found = {sample["metric"][label] for sample in samples if label in sample["metric"]}
            assert found <= {chosen}, expression.place
            answered += found == {chosen}
    assert answered > FEW


@pytest.mark.parametrize("variable", ["job", "environment"])
def test_nothing_of_other_jobs_and_environments_is_shown(live: Server, started: float, variable: str) -> None:
    """Where another one is chosen nothing is left, but for the exporters' own jobs and a count of nothing."""
    answered = {
        expression.place
        for expression in of_the_dashboards()
        if "$job" in expression.text
        and "$" not in expression.place
        and live.query(expression.filled({variable: "elsewhere"}, since=started))
    }
    assert answered <= ({"dashboard: Targets A"} if variable == "job" else set())


@pytest.mark.timeout(2 * PATIENCE)
def test_what_is_empty_in_health_answers_where_something_is_wrong(sick: Server) -> None:
    """Each expression that is listed has data in a history in which its condition holds."""
    listed = [expression for expression in _all(sick, ONE) if _is_listed(expression)]
    assert {rule for rule in EMPTY_IN_HEALTH if any(re.fullmatch(rule, one.place) for one in listed)} == {
        *EMPTY_IN_HEALTH
    }
    moments = {**dict.fromkeys(WITHOUT_TARGETS, before(sick)), **dict.fromkeys(DEPLOYS, deploy(sick))}
    deadline = time.monotonic() + PATIENCE
    while listed and time.monotonic() < deadline:
        listed = [one for one in listed if not _figures(sick, one.filled(window=LONG), **moments.get(one.place, {}))]
        time.sleep(0.5)
    assert [f"{one.place}: {one.filled()}" for one in listed] == []


def test_a_prometheus_without_workers_refuses_nothing(sick: Server) -> None:
    """Where nothing has been scraped yet each panel is empty, and none shows an error."""
    answers = {one.place for one in of_the_dashboards() if sick.query(one.filled(), **before(sick))}
    assert answers == {"dashboard: Queues Nobody Consumes A"}


def test_the_contracts_expressions_ask_for_what_it_promises() -> None:
    """The page has expressions, and each metric in them is a documented one, with a histogram's suffix or without."""
    promised = {exported_name(metric) for metric in catalogue.METRICS if metric.documented}
    for expression in of_page(CONTRACT):
        named = {name.removesuffix("_bucket") for name in re.findall(r"\bcelery_\w+", expression.text)}
        assert named, expression.text
        assert named <= promised, expression.text
    assert sum(1 for _ in of_page(CONTRACT)) == EXPRESSIONS_OF_THE_CONTRACT


def _all(server: Server, one: Mapping[str, str] = DEMO) -> list[Expression]:
    return [*of_the_dashboards(one), *of_the_rules(server), *of_the_pages()]


def _is_listed(expression: Expression) -> bool:
    return any(re.fullmatch(rule, expression.place) for rule in EMPTY_IN_HEALTH)


def _figures(server: Server, promql: str, **parameters: str) -> list[dict[str, Any]]:
    """Ask, and leave out what is not a number: the quantile of nothing."""
    return [one for one in server.query(promql, **parameters) if not math.isnan(float(one["value"][1]))]
