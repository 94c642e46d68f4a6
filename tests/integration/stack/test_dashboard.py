"""The dashboard is what its generator makes, loads into Grafana's models, and holds to the rules of a good one."""

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
from otel_celery import catalogue
from otel_celery.catalogue import Kind
from otel_celery.record.reference import exported_name
from tests.integration.stack.expressions import DASHBOARD, LEGEND_LABEL, board, of_the_dashboard
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

LISTED = {
    "Worker Status": "celery_worker_draining celery_worker_up up",
    "Active Tasks": "celery_worker_tasks_active",
    "Task Success Rate": "celery_task_succeeded_total",
    "Task Failure Rate": "celery_task_failed_total",
    "Task Duration (p95)": "celery_task_duration_seconds_bucket",
    "Tasks Received": "celery_task_received_total",
    "Task Retries": "celery_task_retried_total",
    "Total Tasks by Status": "celery_tasks_total",
    "Utilisation": "worker:celery_worker_utilisation:ratio",
    "Slots": "celery_worker_pool_size celery_worker_tasks_active",
    "Reserved and Scheduled Tasks": "celery_worker_tasks_reserved celery_worker_tasks_scheduled",
    "Oldest Running Task": "celery_worker_oldest_active_task_seconds",
    "Tasks Now": (
        "celery_task_last_success_timestamp_seconds pool_task:celery_task_duration_seconds:p50_rate5m "
        "pool_task:celery_task_duration_seconds:p95_rate5m pool_task:celery_task_duration_seconds:p99_rate5m "
        "pool_task:celery_task_failed_per_finished:ratio_rate5m pool_task:celery_task_received:rate5m"
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
        "pool_task:celery_task_duration_seconds:p99_rate1d pool_task:celery_task_duration_seconds:p99_rate5m"
    ),
    "Exceptions": "celery_task_failures_by_exception_total",
    "Timeouts": "celery_task_timeouts_total",
    "Revocations and Rejections": "celery_task_rejected_total celery_task_revoked_total",
    "Time since the Last Success": "celery_task_last_success_timestamp_seconds",
    "Queue Wait": "celery_task_queue_wait_seconds_bucket",
    "Queue Wait by Queue (p95)": "celery_task_queue_wait_seconds_bucket",
    "Queue Waits": "celery_task_queue_wait_seconds_bucket",
    "Prefetch Wait": "celery_task_prefetch_wait_seconds_bucket",
    "Prefetch Wait by Queue (p95)": "celery_task_prefetch_wait_seconds_bucket",
    "Waits": "celery_task_prefetch_wait_seconds_bucket",
    "Queue Length": "queue:celery_queue_length:max",
    "Oldest Message": "queue:celery_queue_oldest_message_age_seconds:max",
    "Unacknowledged": "celery_queue_unacked",
    "Queue Consumers": "queue:celery_queue_consumers:max",
    "Queues Nobody Consumes": "queue:celery_queue_consumers:max queue:celery_queue_length:max",
    "Refresh Failures": "otel_celery_queue_refresh_failures_total",
    "Published against Received": "queue:celery_task_published:rate5m queue:celery_task_received:rate5m",
    "Returned and Redelivered": "celery_task_redelivered_total celery_task_returned_total",
    "Published": "celery_task_published_total",
    "Publish Failures": "celery_task_publish_failures_total",
    "Publish Duration": "celery_task_publish_duration_seconds_bucket",
    "Since the Last Tick": "celery_beat_last_tick_timestamp_seconds",
    "Entries": "celery_beat_entries",
    "Sent by Beat": "celery_beat_tasks_sent_total",
    "Lag of Beat (p99)": "celery_beat_lag_seconds_bucket",
    "Beat's Failures": "celery_beat_send_failures_total",
    "Workers": "celery_worker_info celery_worker_pool_size process_start_time_seconds",
    "CPU": "celery_worker_info process_cpu_seconds_total",
    "Memory": "celery_worker_info process_resident_memory_bytes",
    "Open File Descriptors": "celery_worker_info process_max_fds process_open_fds",
    "Children That Went": "celery_worker_process_exits_total",
    "Event Loop Lag": "celery_worker_loop_stall_seconds",
    "Uptime": "celery_worker_info process_start_time_seconds",
    "Broker Connection": "celery_worker_broker_connected",
    "Broker Reconnects": "celery_worker_broker_reconnects_total",
    "Unknown Messages": "celery_messages_unknown_total",
    "Internal Errors": "otel_celery_internal_errors_total",
    "Dropped Points": "otel_celery_relay_dropped_total",
    "Folded Labels": "otel_celery_folded_total",
    "Firing Alerts": "ALERTS",
    "Targets": "up",
    "Scrape Duration": "scrape_duration_seconds",
    "Series of each Target": "scrape_samples_post_metric_relabeling",
    "Redis": "redis_up",
    "Redis Memory": "redis_memory_used_bytes",
    "Redis Clients": "redis_blocked_clients redis_connected_clients",
    "Redis Commands": "redis_commands_processed_total redis_evicted_keys_total",
    "PostgreSQL": "pg_up",
    "PostgreSQL Connections": "pg_stat_database_numbackends",
    "PostgreSQL Transactions": (
        "pg_stat_database_deadlocks pg_stat_database_xact_commit pg_stat_database_xact_rollback"
    ),
}
"""The panels, row by row, and the metrics that each queries."""

EVENT_KEYS = {"titleFormat", "textFormat", "tagKeys", "useValueForTime"}
"""What Grafana's Prometheus data source reads of an annotation, and the builder library's model does not know."""

GLOBALS = {"__rate_interval", "__range", "__from", "__field", "__value", "__url_time_range"}
"""Grafana's own variables."""

UNASKED = {"row", "datasource", "constant"}
"""Kinds of panels and variables that ask nobody."""

WIDTH = 24
RATES = {"rate", "irate", "increase", "delta", "idelta", "deriv"}
WINDOW, RANGE = "7m13s", "11m17s"
"""Stand for $__rate_interval and $__range: no window that somebody would write."""

WINDOWS = [timedelta(minutes=7, seconds=13), timedelta(minutes=11, seconds=17)]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Read the committed dashboard."""
    return board()


@pytest.fixture(scope="module")
def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    """List the panels, without the rows' heads."""
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def test_the_file_is_what_the_generator_makes() -> None:
    """Nobody changed the file by hand, or the catalogue without `make generated`."""
    assert DASHBOARD.read_text(encoding="utf-8") == generator.text()


def test_the_eight_documented_panels_come_first(panels: list[dict[str, Any]]) -> None:
    """They stand in the documented order, under their exact names."""
    assert [(panel["title"], panel["type"]) for panel in panels[: len(DOCUMENTED)]] == DOCUMENTED


def test_every_panel_is_listed_with_its_metrics(panels: list[dict[str, Any]]) -> None:
    """What a panel queries changes only together with this list."""
    assert {panel["title"]: " ".join(sorted(_metrics(panel))) for panel in panels} == LISTED


def test_every_variable_is_listed(document: dict[str, Any]) -> None:
    """Pool, worker and task are multiple choices with All, which also finds targets that have no pool."""
    listed = {variable["name"]: variable for variable in document["templating"]["list"]}
    assert list(listed) == ["datasource", "pool", "worker", "task", "runbook"]
    assert listed["datasource"]["query"] == "prometheus"
    for name in ("pool", "worker", "task"):
        assert (listed[name]["multi"], listed[name]["includeAll"], listed[name]["allValue"]) == (True, True, ".*")
    assert "$pool" in listed["worker"]["query"]
    assert "$pool" in listed["task"]["query"]
    assert "$worker" in listed["task"]["query"]


def test_it_loads_into_the_models_and_back(document: dict[str, Any]) -> None:
    """Grafana's own models know every key, and every query is one of Prometheus's."""
    register_default_plugins()
    known = {key: value for key, value in document.items() if key != "__inputs"}
    loaded = models.Dashboard.from_json(json.loads(json.dumps(known)))
    queries = [query for panel in loaded.panels or () for query in getattr(panel, "targets", None) or ()]
    assert len(queries) > len(LISTED)
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
    assert len(sources) > len(LISTED) * 2
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
    for expression in of_the_dashboard():
        filled = expression.text.replace("$__rate_interval", WINDOW).replace("$__range", RANGE)
        for call in _calls(promql_parser.parse(_plain(filled))):
            if call.func.name in RATES:
                assert call.args[0].range in WINDOWS, expression.place
            if call.func.name == "rate":
                assert call.args[0].range == WINDOWS[0], expression.place


def test_every_variable_is_used_and_known(document: dict[str, Any]) -> None:
    """None is there for nothing, and nothing asks for one that is not there."""
    listed = {variable["name"] for variable in document["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([document["panels"], document["annotations"], document["links"]])))
    assert used - GLOBALS - {"1"} == listed  # $1 is label_replace's


def test_every_metric_is_known(panels: list[dict[str, Any]]) -> None:
    """It is the catalogue's, a recording rule's, or one that is said to be somebody else's."""
    ours = {exported_name(metric) for metric in catalogue.METRICS}
    ours |= {f"{exported_name(metric)}_bucket" for metric in catalogue.METRICS if metric.kind is Kind.HISTOGRAM}
    recorded = set(re.findall(r"- record: (\S+)", (MONITORING / "rules.yml").read_text()))
    queried = set().union(*(_metrics(panel) for panel in panels))
    assert queried <= ours | recorded | promql.FOREIGN.keys()
    assert promql.FOREIGN.keys() - {"ALERTS"} <= queried


def test_every_documented_metric_is_shown(panels: list[dict[str, Any]]) -> None:
    """What the operators' guide promises can be seen, itself or as recorded by rules.yml."""
    queried = " ".join(itertools.chain.from_iterable(_metrics(panel) for panel in panels))
    for metric in catalogue.METRICS:
        assert exported_name(metric).removesuffix("_total") in queried or not metric.documented, metric.name


def test_runbook_links_name_alerts(document: dict[str, Any]) -> None:
    """A link to the runbook is a link to the section of an alert that exists."""
    alerts = re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text())
    linked = re.findall(r"\$\{runbook:raw\}#(\w+)", json.dumps(document))
    assert len(linked) > len(DOCUMENTED)
    assert set(linked) <= {alert.lower() for alert in alerts}


def test_links_between_panels_lead_to_what_they_say(document: dict[str, Any], panels: list[dict[str, Any]]) -> None:
    """A link that shows another panel has that panel's number."""
    numbers = {panel["id"]: panel["title"] for panel in panels}
    linked = [link for panel in panels for link in panel["fieldConfig"]["defaults"].get("links", ())]
    to_panels = [link for link in linked if "viewPanel=" in link["url"]]
    assert to_panels
    for link in to_panels:
        assert link["title"].startswith(numbers[int(link["url"].rpartition("viewPanel=")[2])])
    assert {link["url"].partition("?")[0] for link in linked} == {f"/d/{document['uid']}"}


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


def _metrics(panel: dict[str, Any]) -> set[str]:
    return {name for target in panel["targets"] for name in _names(promql_parser.parse(_plain(target["expr"])))}


def _plain(text: str) -> str:
    """Put durations and a number in place of Grafana's variables."""
    return text.replace("$__rate_interval", WINDOW).replace("$__range", RANGE).replace("$__from", "0")


def _names(tree: Any) -> list[str]:
    return [node.name for node in _nodes(tree) if isinstance(node, promql_parser.VectorSelector) and node.name]


def _calls(tree: Any) -> list[Any]:
    return [node for node in _nodes(tree) if isinstance(node, promql_parser.Call)]


def _nodes(tree: Any) -> list[Any]:
    """List an expression's parts, the selectors of ranges included."""
    found: list[Any] = []
    promql_parser.walk(tree, found.append)
    return [*found, *(node.vector_selector for node in found if isinstance(node, promql_parser.MatrixSelector))]
