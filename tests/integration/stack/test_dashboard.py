"""The dashboards are what their generator makes, load into Grafana's models, and hold to the rules of good ones."""

from __future__ import annotations

import itertools
import json
import re
from datetime import timedelta
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus

from devops.monitoring.dashboard import __main__ as generator
from devops.monitoring.dashboard import links, promql
from devops.monitoring.dashboard.board import BOARDS as GENERATED
from otel_celery import catalogue
from otel_celery.catalogue import Kind
from otel_celery.record.reference import exported_name
from tests.integration.stack.expressions import BOARDS, LEGEND_LABEL, board, of_the_dashboards
from tests.integration.stack.servers import MONITORING

DOCUMENTED = [
    ("Worker Status", "stat"),
    ("Active Tasks", "timeseries"),
    ("Task Success Rate", "timeseries"),
    ("Task Failure Rate", "timeseries"),
    ("Task Duration (p95)", "timeseries"),
    ("Tasks Received", "timeseries"),
    ("Task Retries", "timeseries"),
    ("Total Tasks by Status", "piechart"),
]
"""In the operators' guide's order, under its names."""

FIRST = ["Firing Alerts", "Queue Length", "Oldest Message", "Utilisation", "Failure Ratio", "Wait (p95)"]
"""Below them, before the rows."""

LISTED: dict[str, dict[str, dict[str, str]]] = {
    "dashboard": {
        "": {
            "Worker Status": "celery_worker_draining celery_worker_up target_worker:celery_worker_up:last_timestamp up",
            "Active Tasks": "celery_worker_tasks_active",
            "Task Success Rate": "celery_task_succeeded_total",
            "Task Failure Rate": "celery_task_failed_total",
            "Task Duration (p95)": "celery_task_duration_seconds_bucket",
            "Tasks Received": "celery_task_received_total",
            "Task Retries": "celery_task_retried_total",
            "Total Tasks by Status": "celery_tasks_total",
            "Firing Alerts": "ALERTS",
            "Queue Length": "queue:celery_queue_length:max",
            "Oldest Message": "queue:celery_queue_oldest_message_age_seconds:max",
            "Utilisation": "pool:celery_worker_utilisation:ratio",
            "Failure Ratio": "pool:celery_task_failed_per_finished:ratio_rate5m",
            "Wait (p95)": (
                "pool:celery_task_prefetch_wait_seconds:p95_rate5m pool:celery_task_queue_wait_seconds:p95_rate5m"
            ),
        },
        "SLO and Burn Rate": {
            "Burn Rate": (
                "pool:celery_task_failed_per_finished:ratio_rate1h pool:celery_task_failed_per_finished:ratio_rate6h"
            ),
            "Failures by Window": (
                "pool:celery_task_failed_per_finished:ratio_rate1h pool:celery_task_failed_per_finished:ratio_rate30m "
                "pool:celery_task_failed_per_finished:ratio_rate3d pool:celery_task_failed_per_finished:ratio_rate5m "
                "pool:celery_task_failed_per_finished:ratio_rate6h"
            ),
            "Budget Left": "celery_task_failed_total celery_task_succeeded_total",
        },
        "Tasks": {
            "Top Failing": "celery_task_failed_total",
            "Slowest": "celery_task_duration_seconds_bucket",
            "Most Waiting": "celery_task_prefetch_wait_seconds_bucket celery_task_queue_wait_seconds_bucket",
            "Tasks Now": (
                "pool_task:celery_task_duration_seconds:p50_rate5m pool_task:celery_task_duration_seconds:p95_rate5m "
                "pool_task:celery_task_duration_seconds:p99_rate5m "
                "pool_task:celery_task_failed_per_finished:ratio_rate5m "
                "pool_task:celery_task_last_success_timestamp_seconds:max pool_task:celery_task_received:rate5m"
            ),
            "Flow": (
                "celery_task_received_total celery_task_redelivered_total celery_task_returned_total "
                "celery_task_started_total celery_tasks_total"
            ),
            "Ends by Status": "celery_tasks_total",
            "Durations": "celery_task_duration_seconds_bucket",
            "Duration of Whole Pools (p50, p95, p99)": (
                "pool_task:celery_task_duration_seconds:p50_rate5m pool_task:celery_task_duration_seconds:p95_rate5m "
                "pool_task:celery_task_duration_seconds:p99_rate5m"
            ),
            "Runtime of Whole Pools (p50, p95, p99)": (
                "pool_task:celery_task_runtime_seconds:p50_rate5m pool_task:celery_task_runtime_seconds:p95_rate5m "
                "pool_task:celery_task_runtime_seconds:p99_rate5m"
            ),
            "Slower than Usual": (
                "pool_task:celery_task_runtime_seconds:p99_rate1d pool_task:celery_task_runtime_seconds:p99_rate5m"
            ),
            "Exceptions": "celery_task_failures_by_exception_total",
            "Timeouts": "celery_task_timeouts_total",
            "Revocations and Rejections": "celery_task_rejected_total celery_task_revoked_total",
            "Time since the Last Success": "pool_task:celery_task_last_success_timestamp_seconds:max",
        },
        "Publishers": {
            "Published": "celery_task_published_total",
            "Publish Failures": "celery_task_publish_failures_total",
            "Publish Duration": "celery_task_publish_duration_seconds_bucket",
        },
        "Queues": {
            "Queue Consumers": "queue:celery_queue_consumers:max",
            "Queues Nobody Consumes": "queue:celery_queue_length:unconsumed",
            "Unacknowledged": "celery_queue_unacked",
            "Published against Received": "queue:celery_task_published:rate5m queue:celery_task_received:rate5m",
            "Returned and Redelivered": "celery_task_redelivered_total celery_task_returned_total",
            "Refresh Failures": "otel_celery_queue_refresh_failures_total",
            "Queue Wait": "celery_task_queue_wait_seconds_bucket",
            "Queue Wait by Queue (p95)": "celery_task_queue_wait_seconds_bucket",
            "Queue Waits": "celery_task_queue_wait_seconds_bucket",
            "Prefetch Wait": "celery_task_prefetch_wait_seconds_bucket",
            "Prefetch Wait by Queue (p95)": "celery_task_prefetch_wait_seconds_bucket",
            "Waits": "celery_task_prefetch_wait_seconds_bucket",
        },
        "Beat": {
            "Since the Last Tick": "celery_beat_last_tick_timestamp_seconds",
            "Entries": "celery_beat_entries",
            "Sent by Beat": "celery_beat_tasks_sent_total",
            "Lag of Beat (p99)": "celery_beat_lag_seconds_bucket",
            "Beat's Failures": "celery_beat_send_failures_total",
        },
        "Workers": {
            "Pools": "celery_worker_draining celery_worker_pool_size celery_worker_tasks_active up",
            "Workers Now": (
                "celery_worker_info celery_worker_pool_size celery_worker_tasks_active process_start_time_seconds"
            ),
            "Utilisation of Workers": "worker:celery_worker_utilisation:ratio",
            "Slots": "celery_worker_pool_size celery_worker_tasks_active",
            "Reserved and Scheduled Tasks": "celery_worker_tasks_reserved celery_worker_tasks_scheduled",
            "Oldest Running Task": "celery_worker_oldest_active_task_seconds",
            "Broker Connection": "celery_worker_broker_connected",
            "Broker Reconnects": "celery_worker_broker_reconnects_total",
            "Unknown Messages": "celery_messages_unknown_total",
            "Event Loop Lag": "celery_worker_loop_stall_seconds",
        },
        "Processes": {
            "CPU": "celery_worker_info process_cpu_seconds_total",
            "Memory": "celery_worker_info process_resident_memory_bytes",
            "Open File Descriptors": "celery_worker_info process_max_fds process_open_fds",
            "Children That Went": "celery_worker_process_exits_total",
            "Uptime": "celery_worker_info process_start_time_seconds",
        },
        "Exporters": {
            "Targets": "up",
            "Scrape Duration": "scrape_duration_seconds",
            "Series of each Target": "scrape_samples_post_metric_relabeling",
            "Internal Errors": "otel_celery_internal_errors_total",
            "Dropped Points": "otel_celery_relay_dropped_total",
            "Folded Labels": "otel_celery_folded_total",
            "Clock Skew": "otel_celery_clock_skew_total",
            "Redis": "redis_up",
            "Redis Memory": "redis_memory_used_bytes",
            "Redis Clients": "redis_blocked_clients redis_connected_clients",
            "Redis Commands": "redis_commands_processed_total redis_evicted_keys_total",
            "PostgreSQL": "pg_up",
            "PostgreSQL Connections": "pg_stat_database_numbackends",
            "PostgreSQL Transactions": (
                "pg_stat_database_deadlocks pg_stat_database_xact_commit pg_stat_database_xact_rollback"
            ),
        },
    },
    "task": {
        "": {
            "Succeeded": "celery_task_failed_total celery_task_succeeded_total",
            "Received": "celery_task_received_total",
            "Failed": "celery_task_failed_total",
            "Retried": "celery_task_retried_total",
            "Duration (p95)": "celery_task_duration_seconds_bucket",
            "Wait (p95)": "celery_task_prefetch_wait_seconds_bucket celery_task_queue_wait_seconds_bucket",
            "Oldest Run": "celery_worker_oldest_active_task_seconds",
            "Last Success": "pool_task:celery_task_last_success_timestamp_seconds:max",
        },
        "How It Ends": {
            "Ends by Status": "celery_tasks_total",
            "Total by Status": "celery_tasks_total",
            "Failure Ratio": "celery_task_failed_total celery_task_succeeded_total",
            "Firing Alerts in Detail": "ALERTS ALERTS_FOR_STATE",
            "By Worker": (
                "celery_task_duration_seconds_bucket celery_task_failed_total celery_task_received_total "
                "celery_task_rejected_total celery_task_retried_total celery_task_succeeded_total"
            ),
            "Events": (
                "celery_task_failed_total celery_task_received_total celery_task_rejected_total "
                "celery_task_retried_total celery_task_succeeded_total"
            ),
            "Received by Queue": "celery_task_received_total",
            "Flow": (
                "celery_task_received_total celery_task_redelivered_total celery_task_returned_total "
                "celery_task_started_total celery_tasks_total"
            ),
        },
        "How Long It Takes": {
            "Duration (p50, p95, p99)": "celery_task_duration_seconds_bucket",
            "Runtime (p50, p95, p99)": "celery_task_runtime_seconds_bucket",
            "Durations": "celery_task_duration_seconds_bucket",
            "Mean Runtime": "celery_task_runtime_seconds_count celery_task_runtime_seconds_sum",
            "Slower than Usual": (
                "pool_task:celery_task_runtime_seconds:p99_rate1d pool_task:celery_task_runtime_seconds:p99_rate5m"
            ),
            "Oldest Running Task": "celery_worker_oldest_active_task_seconds",
        },
        "How Long It Waits": {
            "Queue Wait (p50, p95, p99)": "celery_task_queue_wait_seconds_bucket",
            "Prefetch Wait (p50, p95, p99)": "celery_task_prefetch_wait_seconds_bucket",
            "Queue Waits": "celery_task_queue_wait_seconds_bucket",
        },
        "How It Goes Wrong": {
            "Exceptions in All": "celery_task_failures_by_exception_total",
            "Exceptions": "celery_task_failures_by_exception_total",
            "Timeouts": "celery_task_timeouts_total",
            "Revocations": "celery_task_revoked_total",
            "Retries": "celery_task_retried_total",
            "Returned and Redelivered": "celery_task_redelivered_total celery_task_returned_total",
        },
        "Who Sends It": {
            "Published": "celery_task_published_total",
            "Publish Failures": "celery_task_publish_failures_total",
            "Sent by Beat": "celery_beat_tasks_sent_total",
            "Lag of Beat (p99)": "celery_beat_lag_seconds_bucket",
        },
    },
    "worker": {
        "": {
            "Status": "celery_worker_draining celery_worker_up target_worker:celery_worker_up:last_timestamp up",
            "Uptime": "celery_worker_info process_start_time_seconds",
            "Active Tasks": "celery_worker_tasks_active",
            "Slots": "celery_worker_pool_size",
            "Reserved": "celery_worker_tasks_reserved",
            "Scheduled": "celery_worker_tasks_scheduled",
            "Processed": "celery_tasks_total",
            "Failed": "celery_task_failed_total celery_task_succeeded_total",
            "Firing Alerts in Detail": "ALERTS ALERTS_FOR_STATE",
            "Its Queues": (
                "celery_worker_queue_info queue:celery_queue_length:max "
                "queue:celery_queue_oldest_message_age_seconds:max"
            ),
            "What It Is": "celery_worker_info",
        },
        "Tasks": {
            "Its Tasks": (
                "celery_task_duration_seconds_bucket celery_task_failed_total celery_task_received_total "
                "celery_task_rejected_total celery_task_retried_total celery_task_revoked_total "
                "celery_task_succeeded_total pool_task:celery_task_last_success_timestamp_seconds:max "
                "target_worker:celery_worker_up:last_timestamp"
            ),
            "Total by Status": "celery_tasks_total",
            "Received by Task": "celery_task_received_total",
            "Ends by Status": "celery_tasks_total",
            "Flow": (
                "celery_task_received_total celery_task_redelivered_total celery_task_returned_total "
                "celery_task_started_total celery_tasks_total"
            ),
            "Duration by Task (p95)": "celery_task_duration_seconds_bucket",
            "Durations": "celery_task_duration_seconds_bucket",
            "Exceptions": "celery_task_failures_by_exception_total",
            "Timeouts": "celery_task_timeouts_total",
            "Revocations and Rejections": "celery_task_rejected_total celery_task_revoked_total",
            "Returned and Redelivered": "celery_task_redelivered_total celery_task_returned_total",
        },
        "Slots and Waiting": {
            "Slots Taken": "celery_worker_pool_size celery_worker_tasks_active",
            "Reserved and Scheduled Tasks": "celery_worker_tasks_reserved celery_worker_tasks_scheduled",
            "Oldest Running Task": "celery_worker_oldest_active_task_seconds",
            "Queue Wait (p50, p95, p99)": "celery_task_queue_wait_seconds_bucket",
            "Prefetch Wait (p50, p95, p99)": "celery_task_prefetch_wait_seconds_bucket",
            "Waits": "celery_task_prefetch_wait_seconds_bucket",
        },
        "Process and Broker": {
            "CPU": "celery_worker_info process_cpu_seconds_total",
            "Memory": "celery_worker_info process_resident_memory_bytes",
            "Open File Descriptors": "celery_worker_info process_max_fds process_open_fds",
            "Children That Went": "celery_worker_process_exits_total",
            "Event Loop Lag": "celery_worker_loop_stall_seconds",
            "Connected": "celery_worker_broker_connected",
            "Broker Reconnects": "celery_worker_broker_reconnects_total",
            "Unknown Messages": "celery_messages_unknown_total",
            "Published by Its Tasks": "celery_task_published_total",
        },
    },
}
"""The panels, row by row, and the metrics that each queries."""

EVENT_KEYS = {"titleFormat", "textFormat", "tagKeys", "useValueForTime"}
"""What Grafana's Prometheus data source reads of an annotation, and the builder library's model does not know."""

CHOSEN = ["job", "environment", "pool", "queue", "worker", "task"]
"""What narrows the panels, in the order in which one narrows the next."""

FIRST_SCREEN = 20
"""Lines of Grafana's grid that a screen of 1080 pixels shows below the browser's and Grafana's own heads."""

GLOBALS = {"__rate_interval", "__range", "__from", "__field", "__value", "__url_time_range"}
"""Grafana's own variables."""

UNASKED = {"row", "datasource", "constant"}
"""Kinds of panels and variables that ask nobody."""

WIDTH = 24
RATES = {"rate", "irate", "increase", "delta", "idelta", "deriv"}
WINDOW, RANGE = "7m13s", "11m17s"
"""Stand for $__rate_interval and $__range: no window that somebody would write."""

WINDOWS = [timedelta(minutes=7, seconds=13), timedelta(minutes=11, seconds=17)]


@pytest.fixture(scope="module", params=BOARDS)
def name(request: pytest.FixtureRequest) -> str:
    """Name one of the dashboards after the other."""
    return str(request.param)


@pytest.fixture
def document(name: str) -> dict[str, Any]:
    """Read a committed dashboard."""
    return board(name)


@pytest.fixture
def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    """List the panels, without the rows' heads."""
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def test_the_files_are_what_the_generator_makes() -> None:
    """Nobody changed one by hand, or the catalogue without `make generated`."""
    assert [each.file for each in GENERATED] == [file.name for file in BOARDS.values()]
    for each, file in zip(GENERATED, BOARDS.values(), strict=True):
        assert file.read_text(encoding="utf-8") == generator.text(each)


def test_the_eight_documented_panels_come_first() -> None:
    """They stand in the documented order, under their exact names, and in no row."""
    first = board()["panels"][: len(DOCUMENTED)]
    assert [(panel["title"], panel["type"]) for panel in first] == DOCUMENTED


def test_what_an_operator_looks_at_first_is_on_the_first_screen() -> None:
    """Below the eight: what fires, what waits and for how long, how full the pools are, and how much fails."""
    seen = [panel for panel in board()["panels"] if panel["gridPos"]["y"] < FIRST_SCREEN]
    assert [panel["title"] for panel in seen[len(DOCUMENTED) :]] == FIRST
    assert max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in seen) <= FIRST_SCREEN


def test_every_panel_is_listed_with_its_metrics(name: str, document: dict[str, Any]) -> None:
    """What a panel queries changes only together with this list, and so do the rows."""
    rows: dict[str, dict[str, str]] = {"": {}}
    for panel in document["panels"]:
        if panel["type"] == "row":
            rows[panel["title"]] = {}
        else:
            rows[[*rows][-1]][panel["title"]] = " ".join(sorted(_metrics(panel)))
    assert rows == LISTED[name]


def test_every_variable_is_listed(name: str, document: dict[str, Any]) -> None:
    """Each is a multiple choice with All, but the one that the dashboard is about; each narrows those after it."""
    listed = {variable["name"]: variable for variable in document["templating"]["list"]}
    constants = ["environment_label", *(["budget"] if name == "dashboard" else []), "runbook"]
    assert list(listed) == ["datasource", *CHOSEN, *constants]
    assert listed["datasource"]["query"] == "prometheus"
    for each in CHOSEN:
        variable = listed[each]
        several = each != name
        assert (variable["multi"], variable["includeAll"]) == (several, several)
        # All jobs are those that are listed: no other team's. Of anything else All is also what has no such label.
        assert variable.get("allValue") == (".*" if several and each != "job" else None)
    for each, by in (("environment", "job"), ("pool", "environment"), ("queue", "environment"), ("worker", "pool")):
        assert f"${by}" in listed[each]["query"]
    for by in ("job", "environment", "pool", "queue"):
        assert f"${by}" in listed["task"]["query"]


def test_the_one_is_chosen_by_its_name(name: str, document: dict[str, Any]) -> None:
    """A task's dots would match anything in an expression, and Grafana puts a single choice in as it is."""
    asked = " ".join(_asked(document))
    assert (f'="${name}"' in asked) == (name in CHOSEN)
    assert f'=~"${name}"' not in asked


def test_every_selection_is_narrowed(document: dict[str, Any]) -> None:
    """By the job and the environment: what others have in the same Prometheus stays out, and staging can.

    What rules.yml records of a queue is the broker's, and has no job. What is taken away may be everybody's.
    """
    for text in _asked(document):
        for node in _nodes(promql_parser.parse(_plain(text))):
            if isinstance(node, promql_parser.VectorSelector) and node.matchers.matchers:
                labels = {matcher.name for matcher in node.matchers.matchers}
                assert "env" in labels, text
                assert "job" in labels or str(node.name).startswith("queue:"), text
            elif isinstance(node, promql_parser.VectorSelector):
                assert "unless ignoring (worker) target_worker:celery_worker_up:last_timestamp," in text


def test_it_loads_into_the_models_and_back(document: dict[str, Any]) -> None:
    """Grafana's own models know every key, and every query is one of Prometheus's."""
    register_default_plugins()
    known = {key: value for key, value in document.items() if key != "__inputs"}
    loaded = models.Dashboard.from_json(json.loads(json.dumps(known)))
    queries = [query for panel in loaded.panels or () for query in getattr(panel, "targets", None) or ()]
    assert len(queries) > len(DOCUMENTED)
    assert {type(query) for query in queries} == {prometheus.Dataquery}
    again = json.loads(JSONEncoder().encode(loaded))
    for panel in again["panels"]:
        if panel.get("fieldConfig", {}).get("defaults", {}).get("custom") == {}:
            del panel["fieldConfig"]["defaults"]["custom"]  # the models add it where a kind of panel has no such keys
    for annotation in known["annotations"]["list"]:
        for key in EVENT_KEYS & annotation.keys():
            del annotation[key]
    assert again == known


def test_an_import_by_hand_asks_for_the_data_source(document: dict[str, Any]) -> None:
    """The answer goes into the variable alone: the provisioned file, whose question nobody answers, works too."""
    (asked,) = document["__inputs"]
    placeholder = f"${{{asked['name']}}}"
    assert (asked["type"], asked["pluginId"]) == ("datasource", "prometheus")
    (variable,) = (one for one in document["templating"]["list"] if one["type"] == "datasource")
    assert variable["current"]["value"] == placeholder
    del variable["current"], document["__inputs"]
    assert placeholder not in json.dumps(document)


def test_everything_asks_the_chosen_data_source(document: dict[str, Any]) -> None:
    """No panel, query, annotation or variable names a data source of its own."""
    asking = [*document["panels"], *document["annotations"]["list"], *document["templating"]["list"]]
    asking += [target for panel in document["panels"] for target in panel.get("targets", ())]
    sources = [one["datasource"] for one in asking if one["type" if "type" in one else "expr"] not in UNASKED]
    assert len(sources) > len(DOCUMENTED) * 2
    assert {(source["type"], source["uid"]) for source in sources} == {("prometheus", "${datasource}")}


def test_numbers_titles_and_places_are_unique(document: dict[str, Any]) -> None:
    """No panel covers another one or leaves the grid of 24 columns."""
    places = [panel["gridPos"] for panel in document["panels"]]
    for key in ("id", "title"):
        assert len({panel[key] for panel in document["panels"]}) == len(places)
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < WIDTH


def test_every_panel_explains_itself(panels: list[dict[str, Any]]) -> None:
    """It has a description, a unit, and words for when there is nothing; each line has a name."""
    for panel in panels:
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith("."), panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_every_rate_has_grafanas_own_window() -> None:
    """A window of our own would be too short for a slow scrape, or too long for a zoomed view."""
    for expression in of_the_dashboards():
        filled = expression.text.replace("$__rate_interval", WINDOW).replace("$__range", RANGE)
        for call in _calls(promql_parser.parse(_plain(filled))):
            if call.func.name in RATES:
                assert call.args[0].range in WINDOWS, expression.place
            if call.func.name == "rate":
                assert call.args[0].range == WINDOWS[0], expression.place


def test_every_variable_is_used_and_known(document: dict[str, Any]) -> None:
    """None is there for nothing, and nothing asks for one that is not there."""
    listed = {variable["name"] for variable in document["templating"]["list"]}
    asking = [document["panels"], document["annotations"], document["links"], document["templating"]]
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(asking)))
    assert used - GLOBALS - {"1", "__all", "DS_PROMETHEUS"} == listed  # $1 is label_replace's


def test_every_metric_is_known() -> None:
    """It is the catalogue's, a recording rule's, or one that is said to be somebody else's."""
    ours = {exported_name(metric) for metric in catalogue.METRICS}
    histograms = [exported_name(metric) for metric in catalogue.METRICS if metric.kind is Kind.HISTOGRAM]
    ours |= {f"{histogram}_{part}" for histogram in histograms for part in ("bucket", "sum", "count")}
    recorded = set(re.findall(r"- record: (\S+)", (MONITORING / "rules.yml").read_text()))
    documents = [board(each) for each in BOARDS]
    queried = {
        metric for one in documents for text in _asked(one) for metric in _names(promql_parser.parse(_plain(text)))
    }
    assert queried <= ours | recorded | promql.FOREIGN.keys()
    assert promql.FOREIGN.keys() <= queried


def test_every_documented_metric_is_shown() -> None:
    """What the operators' guide promises can be seen, itself or as recorded by rules.yml."""
    queried = " ".join(_asked(board()))
    for metric in catalogue.METRICS:
        assert exported_name(metric).removesuffix("_total") in queried or not metric.documented, metric.name


def test_runbook_links_name_alerts(document: dict[str, Any]) -> None:
    """A link to the runbook is a link to the section of an alert that exists."""
    alerts = re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text())
    linked = re.findall(r"\$\{runbook:raw\}#(\w+)", json.dumps(document))
    assert linked
    assert set(linked) <= {alert.lower() for alert in alerts}


def test_links_between_panels_lead_to_what_they_say(panels: list[dict[str, Any]]) -> None:
    """A link that shows another panel has that panel's number, on the dashboard of all."""
    numbers = {panel["id"]: panel["title"] for panel in board()["panels"]}
    to_panels = [link for link in _links(panels) if "viewPanel=" in link["url"]]
    for link in to_panels:
        assert link["url"].startswith(f"/d/{links.ALL}?")
        assert link["title"].startswith(numbers[int(link["url"].rpartition("viewPanel=")[2])])


def test_every_dashboard_leads_to_the_others(name: str, document: dict[str, Any], panels: list[dict[str, Any]]) -> None:
    """At its head, with the time and what is chosen; and from the tasks and workers that its panels show."""
    uids = {each: board(each)["uid"] for each in BOARDS}
    heads = {link["url"]: link for link in document["links"] if link["url"].startswith("/d/")}
    assert heads.keys() == {f"/d/{uid}" for each, uid in uids.items() if each != name}
    assert all(link["includeVars"] and link["keepTime"] for link in heads.values())
    linked = {link["url"].partition("?")[0] for link in _links(panels)}
    assert linked <= {f"/d/{uid}" for uid in uids.values()}
    assert linked >= {f"/d/{uid}" for each, uid in uids.items() if each in {"task", "worker"} - {name}}


def test_a_link_to_the_dashboard_of_one_says_which(panels: list[dict[str, Any]]) -> None:
    """It names the task or worker that was clicked, once, and takes the other choices along."""
    for link in _links(panels):
        for each in ("task", "worker"):
            if link["url"].startswith(f"/d/{board(each)['uid']}?"):
                assert link["url"].count(f"var-{each}=") == 1
                assert f"{{{each}:queryparam}}" not in link["url"]
                assert "${job:queryparam}" in link["url"]


def test_links_are_about_labels_that_the_series_have(panels: list[dict[str, Any]]) -> None:
    """What a link takes from the series that was clicked is a label that the legend shows."""
    for panel in panels:
        config = panel["fieldConfig"]
        for target in panel["targets"]:
            its_own = [one for one in config["overrides"] if one["matcher"]["options"] == target["refId"]]
            wanted = set(re.findall(r"__field\.labels\.(\w+)", json.dumps([config["defaults"], its_own])))
            assert wanted <= set(LEGEND_LABEL.findall(target["legendFormat"])), panel["title"]


def test_a_renamed_label_stops_the_generator() -> None:
    """An expression cannot be made of a label that its metric does not have."""
    with pytest.raises(promql.UnknownLabelError, match="has no label exception"):
        promql.series(catalogue.FAILED).total("exception")


def test_a_link_to_no_panel_stops_the_generator() -> None:
    """A panel that was renamed cannot leave a dead link."""
    with pytest.raises(KeyError, match="Gone"):
        links.numbered([links.panel("Gone", "task").build().url], {"Durations": 1})


def _links(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """List what can be clicked in panels: series, and the cells of tables."""
    configs = [panel["fieldConfig"] for panel in panels]
    its_own = [one["value"] for config in configs for rule in config["overrides"] for one in rule["properties"]
               if one["id"] == "links"]  # fmt: skip
    return [*itertools.chain.from_iterable([*(config["defaults"].get("links", ()) for config in configs), *its_own])]


def _asked(document: dict[str, Any]) -> list[str]:
    """List what panels and annotations ask Prometheus."""
    targets = [target["expr"] for panel in document["panels"] for target in panel.get("targets", ())]
    return [*targets, *(annotation["expr"] for annotation in document["annotations"]["list"])]


def _metrics(panel: dict[str, Any]) -> set[str]:
    return {name for target in panel["targets"] for name in _names(promql_parser.parse(_plain(target["expr"])))}


def _plain(text: str) -> str:
    """Put durations and a number in place of Grafana's variables."""
    text = text.replace("$__rate_interval", WINDOW).replace("$__range", RANGE).replace("$__from", "0")
    return text.replace("$environment_label", "env").replace("$budget", "0.01")


def _names(tree: Any) -> list[str]:
    return [node.name for node in _nodes(tree) if isinstance(node, promql_parser.VectorSelector) and node.name]


def _calls(tree: Any) -> list[Any]:
    return [node for node in _nodes(tree) if isinstance(node, promql_parser.Call)]


def _nodes(tree: Any) -> list[Any]:
    """List an expression's parts, the selectors of ranges included."""
    found: list[Any] = []
    promql_parser.walk(tree, found.append)
    return [*found, *(node.vector_selector for node in found if isinstance(node, promql_parser.MatrixSelector))]
