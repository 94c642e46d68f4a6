"""The recording rules and alerts, without a server: read by promtool, held to the catalogue and to the runbook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from devops.monitoring.dashboard.promql import FOREIGN
from tests.incidents.pace import milliseconds
from tests.integration.stack.intervals import READ_BY_PROMETHEUS, hastened
from tests.integration.stack.markdown import GUIDE, RUNBOOK, queries, spans
from tests.integration.stack.rulebook import PROMTOOLS, alerts, expected, exported, metrics, recorded, rules, run
from tests.integration.stack.servers import MONITORING, ROOT

if TYPE_CHECKING:
    from pathlib import Path

BOTH = pytest.mark.parametrize("version", PROMTOOLS)
FILES = ("rules.yml", "alerts.yml", "expectations.yml")
INTERVALS = {"scrape_interval", "scrape_timeout", "evaluation_interval", "interval", "scrapeTimeout"}
OPERATORS = ("podmonitor", "prometheusrule", "kubernetes-alerts")

OF_OTHERS = {
    "up", "process_start_time_seconds",
    "redis_up", "redis_key_size", "pg_up",
    "prometheus_rule_evaluation_failures_total",
    "prometheus_target_scrape_pool_exceeded_label_limits_total",
    "prometheus_target_scrape_pool_exceeded_target_limit_total",
    "prometheus_target_scrapes_exceeded_body_size_limit_total",
    "prometheus_target_scrapes_exceeded_sample_limit_total",
    "prometheus_target_scrapes_sample_duplicate_timestamp_total",
    "prometheus_target_scrapes_sample_out_of_bounds_total",
    "prometheus_target_scrapes_sample_out_of_order_total",
}  # fmt: skip
"""Metrics of Prometheus, of the exporters, and of the Python client."""

ASKED_BY_HAND = {
    "redis_config_maxclients", "scrape_samples_scraped",
    "prometheus_rule_group_interval_seconds", "prometheus_rule_group_last_duration_seconds",
}  # fmt: skip
"""Metrics of others that nothing but a page names."""

METRIC = re.compile(r"\b(?:celery|otel_celery|redis|pg|process|scrape|prometheus)_\w|\w:\w+:\w|\bup\{")
"""What a query has, and nothing else that stands between backquotes."""

WORKER_DOWN = (
    "celery_worker_up == 0 or (target_worker:celery_worker_up:last_timestamp and ignoring (worker) "
    "target:celery_up:state == 0) or label_replace(target:celery_up:state == 0 unless ignoring (worker) "
    'target_worker:celery_worker_up:last_timestamp, "worker", "$1 (never seen)", "pool", "(.*)")'
)
WINDOW = re.compile(r"([\w:]+)(?:\{[^}]*\})?\[(\d+[smhd])\]")
MINUTE, HOUR, LOOKS_BACK = 60_000, 3_600_000, 300_000
OF_PROCESSES = {
    "celery_beat_last_tick_timestamp_seconds",
    "otel_celery_queue_last_refresh_timestamp_seconds",
    "prometheus_rule_evaluation_failures_total",
}
"""What a process has once, or a few times."""
MERGING = re.compile(r"\b(?:by|on) \(")
EXPECTATION = re.compile(r"\w+:\w+:(?:minimum|maximum|expected)\b")


@BOTH
@pytest.mark.parametrize("name", FILES)
def test_promtool_finds_nothing(name: str, version: str) -> None:
    """Every file passes the checkers of both versions, with every lint that they have."""
    done = run(version, "check", "rules", "--lint=all", "--lint-fatal", MONITORING / name)
    assert done.returncode == 0, done.stdout + done.stderr


@BOTH
def test_the_examples_of_what_to_expect_are_rules(version: str, tmp_path: Path) -> None:
    """Without their comment signs they pass, and record what the alerts compare with."""
    file = tmp_path / "expectations.yml"
    file.write_text(expected())
    done = run(version, "check", "rules", "--lint=all", "--lint-fatal", file)
    assert done.returncode == 0, done.stdout + done.stderr
    every = rules((MONITORING / "rules.yml").read_text()) + list(alerts().values())
    asked = {name for rule in every for name in metrics(rule["expr"]) if name.endswith("imum")}
    assert {rule["record"] for rule in rules(expected())} == asked


def test_the_documented_alerts_are_as_documented() -> None:
    """Their names, how long they wait, and their summaries; the first in the form that fires."""
    down, failing = alerts()["CeleryWorkerDown"], alerts()["HighTaskFailureRate"]
    assert (" ".join(down["expr"].split()), down["for"]) == (WORKER_DOWN, "1m")
    assert (failing["expr"], failing["for"]) == ("rate(celery_task_failed_total[5m]) > 0.1", "5m")
    assert down["annotations"]["summary"] == "Celery worker {{ $labels.worker }} is down"
    assert failing["annotations"]["summary"] == "High failure rate for {{ $labels.task_name }}"
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    sooner = {"celery_workers": "15s"}  # a stuck worker is found within a minute
    assert {group["name"]: group["interval"] for group in groups} == {g["name"]: "30s" for g in groups} | sooner


def test_every_metric_of_an_expression_exists() -> None:
    """In the catalogue, among the recording rules, in expectations.yml, or at an exporter."""
    every = rules((MONITORING / "rules.yml").read_text()) + list(alerts().values())
    used = set().union(*(metrics(rule["expr"]) for rule in every))
    assert used - recorded() - exported() == OF_OTHERS


def test_what_is_recorded_is_read() -> None:
    """By another rule, an alert, the dashboard, an autoscaler or a page: nothing is computed for nobody."""
    readers = [GUIDE, RUNBOOK, *(board.read_text() for board in MONITORING.glob("*.json"))]
    readers += [
        page.read_text() for page in (ROOT / "devops" / "kubernetes").rglob("*.yaml") if "rule" not in page.name
    ]
    every = rules((MONITORING / "rules.yml").read_text()) + list(alerts().values())
    for rule in rules((MONITORING / "rules.yml").read_text()):
        others = [one["expr"] for one in every if one.get("record") != rule["record"]]
        assert any(re.search(rf"{rule['record']}\b", text) for text in (*others, *readers)), rule["record"]


def test_environments_are_kept_apart() -> None:
    """Labels are taken away by name, not listed, but for what expectations.yml says; the job stands once."""
    every = rules((MONITORING / "rules.yml").read_text()) + list(alerts().values())
    for rule in every:
        if MERGING.search(rule["expr"]):
            assert EXPECTATION.search(rule["expr"]), rule
    named = [rule for rule in every if 'job="celery"' in rule["expr"]]
    (group,) = (one for one in groups_of("rules.yml") if one["name"] == "celery_targets")
    assert named == [rule for rule in group["rules"] if "{" in rule["expr"]]


def groups_of(name: str) -> list[dict[str, Any]]:
    """List a file's groups."""
    groups: list[dict[str, Any]] = yaml.safe_load((MONITORING / name).read_text())["groups"]
    return groups


def test_long_windows_are_over_what_is_recorded() -> None:
    """Of an hour or more: over each series of each worker they would be dear. What each process has once is not."""
    every = rules((MONITORING / "rules.yml").read_text()) + list(alerts().values())
    found = [window for rule in every for window in WINDOW.findall(rule["expr"])]
    long = {name for name, duration in found if milliseconds(duration) >= HOUR}
    assert {name for name in long if ":" not in name} == OF_PROCESSES
    assert len(long) > len(OF_PROCESSES)


def test_no_sample_is_away_before_the_next_one_comes() -> None:
    """Prometheus looks back for five minutes: a group that takes its time has one to spare."""
    groups = [*groups_of("rules.yml"), *groups_of("alerts.yml")]
    assert max(milliseconds(group["interval"]) for group in groups) == LOOKS_BACK - MINUTE


@pytest.mark.parametrize("page", [GUIDE, RUNBOOK], ids=["README", "RUNBOOK"])
def test_every_query_of_a_page_is_one(page: str) -> None:
    """In a block or in a sentence: it parses, and names metrics that exist."""
    known = exported() | recorded() | OF_OTHERS | FOREIGN.keys() | ASKED_BY_HAND
    histograms = {name.removesuffix("_bucket") for name in exported()}
    mentioned = [span for span in spans(page) if METRIC.search(span) and not span.endswith((".json", "isready"))]
    asked = queries(page)
    assert asked
    assert mentioned
    assert {name for query in asked for name in metrics(query) - known} == set()
    assert {name for query in mentioned for name in metrics(query) - known - histograms} == set()


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_it_means(name: str) -> None:
    """Its severity, a summary, a description, and a section of the runbook that says how to look and what to do."""
    alert = alerts()[name]
    severity = alert["labels"]["severity"]
    assert severity in {"critical", "warning"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"devops/monitoring/RUNBOOK.md#{name.lower()}"
    section = re.search(rf"(?ms)^## {name}\n(.*?)(?=^## |\Z)", RUNBOOK)
    assert section, f"RUNBOOK.md has no section {name}"
    assert section[1].strip().startswith(f"**{severity}")
    assert "\nLook:" in section[1]
    assert "\nDo:" in section[1]
    if "for" in alert:
        number, unit = alert["for"][:-1], {"m": "minute", "h": "hour"}[alert["for"][-1]]
        assert f"**{severity}, after {number} {unit}{'s' * (number != '1')}.**" in section[1]


def test_the_runbook_has_no_section_too_many() -> None:
    """Each is an alert's."""
    assert re.findall(r"(?m)^## (.+)$", RUNBOOK) == list(alerts())


@pytest.mark.parametrize("name", [*READ_BY_PROMETHEUS, *(f"../kubernetes/shared/{kind}.yaml" for kind in OPERATORS)])
def test_doing_it_more_often_changes_nothing_else(name: str) -> None:
    """What tests scrape and evaluate is what is committed, but for how often; parsed, so that no comment hides any."""
    text = (MONITORING / name).read_text()
    before, after = (list(yaml.safe_load_all(one)) for one in (text, hastened(text)))
    found: list[str] = []
    assert without_intervals(after, found) == without_intervals(before, [])
    assert set(found) == {"2s"}
    assert hastened(text).count("\n") == text.count("\n")


def without_intervals(value: Any, found: list[str]) -> Any:
    """Leave out what says how often something is done, and collect it."""
    if isinstance(value, list):
        return [without_intervals(one, found) for one in value]
    if not isinstance(value, dict):
        return value
    found += [duration for key, duration in value.items() if key in INTERVALS]
    return {key: without_intervals(one, found) for key, one in value.items() if key not in INTERVALS}
