"""The catalogue as users read it: each metric once, under the name that they will meet."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from otel_celery.catalogue import METRICS, Kind, Metric
from otel_celery.record import reference
from tests.unit.record.contract import CONTRACT, DOCUMENTED


@pytest.mark.parametrize(
    ("name", "kind", "unit", "exported"),
    [
        ("celery.tasks", Kind.COUNTER, "{task}", "celery_tasks_total"),
        ("celery.task.duration", Kind.HISTOGRAM, "s", "celery_task_duration_seconds"),
        ("celery.worker.up", Kind.GAUGE, "{worker}", "celery_worker_up"),
        ("process.memory", Kind.GAUGE, "By", "process_memory_bytes"),
        ("celery.wait", Kind.COUNTER, "s", "celery_wait_seconds_total"),
    ],
)
def test_a_name_is_exported_as_prometheus_does(name: str, kind: Kind, unit: str, exported: str) -> None:
    """Dots become underscores; the unit, then _total, are appended."""
    assert reference.exported_name(Metric(name, kind, unit, (), "")) == exported


def test_the_text_lists_each_metric_once() -> None:
    """Two lines a metric: its name, kind and labels, then what it means."""
    lines = reference.text().splitlines()
    rows = [line.split(maxsplit=2) for line in lines[::2]]
    found = {row[0]: (row[1], frozenset(row[2].split(", ")) - {"none"}) for row in rows}
    assert Counter(row[0] for row in rows) == Counter(CONTRACT.keys())
    assert found == dict(CONTRACT)
    assert [line.strip() for line in lines[1::2]] == [metric.description for metric in METRICS]
    assert {len(line) - len(line.lstrip()) for line in lines[1::2]} == {max(map(len, CONTRACT)) + 2}


def test_the_markdown_is_a_table_of_each_metric_once() -> None:
    """A row a metric, the documented ones in bold, and no cell that would break the table."""
    header, rule, *rows = reference.markdown().splitlines()
    assert (header, rule) == ("| metric | kind | labels | meaning |", "| --- | --- | --- | --- |")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [len(row) for row in cells] == [4] * len(METRICS)
    found = {row[0].strip("*`"): (row[1], frozenset(row[2].split(", ")) - {"none"}) for row in cells}
    assert found == dict(CONTRACT)
    assert {row[0].strip("*`") for row in cells if "**" in row[0]} == set(DOCUMENTED)


def test_the_json_is_an_object_a_metric() -> None:
    """Programs read the same, with OpenTelemetry's name beside the exported one."""
    rows = json.loads(reference.json())
    assert {row["name"]: (row["kind"], frozenset(row["labels"])) for row in rows} == dict(CONTRACT)
    assert [row["instrument"] for row in rows] == [metric.name for metric in METRICS]
    assert {row["name"] for row in rows if row["documented"]} == set(DOCUMENTED)
    keys = {"name", "instrument", "kind", "unit", "labels", "documented", "description"}
    assert {frozenset(row) for row in rows} == {frozenset(keys)}
