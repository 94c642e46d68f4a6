"""The dashboards' variables: the data source, and what narrows the panels, each choice narrowed by those before it."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders.dashboard import ConstantVariable, DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from devops.monitoring.dashboard.promql import ENVIRONMENT, narrowed, recorded_name
from devops.monitoring.dashboard.style import SOURCE
from otel_celery import catalogue
from otel_celery.record.reference import exported_name

INPUT = {
    "name": "DS_PROMETHEUS",
    "label": "Prometheus",
    "description": "The data source that scrapes the workers.",
    "type": "datasource",
    "pluginId": "prometheus",
    "pluginName": "Prometheus",
}
"""What Grafana asks for at an import by hand.

It puts the answer in place of ``${DS_PROMETHEUS}``, which stands in the variable ``datasource`` and nowhere else. Where
the file is provisioned nobody is asked: the variable's value is then unknown, so that Grafana takes the first
Prometheus that it has.
"""

RUNBOOK = "devops/monitoring/RUNBOOK.md"
"""Relative to the repository, as in alerts.yml, until an operator puts an address of theirs in its place."""

BUDGET = "0.01"
"""The share of the tasks that may fail, as alerts.yml has it, until an operator puts another one in both."""

EVERYTHING = ".*"
"""What All stands for: series without the label, of a target that no pool was given to, are in it."""

TELLING = (catalogue.WORKER_INFO, catalogue.PUBLISHED)
"""Workers and publishers have one of these, under names that no other exporter for Celery has."""

REMEMBERED = (catalogue.BEAT_ENTRIES, catalogue.QUEUE_LAST_REFRESH)
"""What beat and the queue exporter have, once for each process: such a job is listed for a day after its last one."""


def variables(one: str | None = None) -> list[Any]:
    """Make them, in the order in which they narrow one another; of ``one`` just one is chosen, and never All."""
    environment = ENVIRONMENT.removeprefix("$")
    queues = _either(catalogue.QUEUE_LENGTH, catalogue.QUEUE_INFO)
    chosen = {
        "environment": ("Environment", f"label_values({narrowed(catalogue.WORKER_UP, 'job')}, {ENVIRONMENT})"),
        "pool": ("Pool", f"label_values({narrowed(catalogue.WORKER_UP, 'job', ENVIRONMENT)}, pool)"),
        "queue": ("Queue", f'label_values({{{queues}, {ENVIRONMENT}=~"$environment"}}, queue)'),
        "worker": ("Worker", f"label_values({narrowed(catalogue.WORKER_UP, 'job', ENVIRONMENT, 'pool')}, worker)"),
        "task": (
            "Task",
            f"label_values({narrowed(catalogue.RECEIVED, 'job', ENVIRONMENT, 'pool', 'queue', 'worker')}, task_name)",
        ),
    }
    return [
        DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .current(_option(f"${{{INPUT['name']}}}")),
        _jobs(),
        *(_single(name, *words) if name == one else _several(name, *words) for name, words in chosen.items()),
        ConstantVariable(environment).label("Label of environments").value("env"),
        *([] if one else [ConstantVariable("budget").label("Share of tasks that may fail").value(BUDGET)]),
        ConstantVariable("runbook").label("Runbook").value(RUNBOOK),
    ]


def _jobs() -> Any:
    """List the jobs of ours, those with nobody left in them too; All are these and no job of others.

    The recorded memory knows a job for a day after its last worker has gone. The workers' job of rules.yml is ours
    though no worker of it has ever answered. A job's name says nothing.
    """
    memory = recorded_name("pool_task", catalogue.LAST_SUCCESS, "max")
    lasting = f"last_over_time({{{_either(*REMEMBERED)}}}[1d])"
    telling = f"{{{_either(*TELLING)}}} or {lasting} or {memory} or target:celery_up:state"
    variable = _several("job", "Job", f"query_result(count by (job) ({telling}))").regex('/job="([^"]+)"/')
    return variable.all_value(None)


def _either(*metrics: catalogue.Metric) -> str:
    return f'__name__=~"{"|".join(map(exported_name, metrics))}"'


def _several(name: str, label: str, query: str) -> Any:
    variable = _of(name, label, query).multi(multi=True).include_all(include_all=True)
    return variable.all_value(EVERYTHING).current(_option("$__all", "All"))


def _single(name: str, label: str, query: str) -> Any:
    return _of(name, label, query).multi(multi=False).include_all(include_all=False)


def _of(name: str, label: str, query: str) -> Any:
    variable = QueryVariable(name).label(label).datasource(SOURCE).query(query)
    return variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)


def _option(value: str, text: str | None = None) -> VariableOption:
    return VariableOption(text=text or value, value=value, selected=True)
