"""The dashboard's variables: the data source, and pool, worker and task, each narrowed by those before it."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders.dashboard import ConstantVariable, DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from devops.monitoring.dashboard.promql import narrowed
from devops.monitoring.dashboard.style import SOURCE
from otel_celery import catalogue

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

EVERYTHING = ".*"
"""What All stands for: series without the label, of a target that no pool was given to, are in it."""


def variables() -> list[Any]:
    """Make them, in the order in which they narrow one another."""
    return [
        DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .current(_option(f"${{{INPUT['name']}}}")),
        _of("pool", "Pool", f"label_values({narrowed(catalogue.WORKER_UP)}, pool)"),
        _of("worker", "Worker", f"label_values({narrowed(catalogue.WORKER_UP, 'pool')}, worker)"),
        _of("task", "Task", f"label_values({narrowed(catalogue.RECEIVED, 'pool', 'worker')}, task_name)"),
        ConstantVariable("runbook").label("Runbook").value(RUNBOOK),
    ]


def _of(name: str, label: str, query: str) -> Any:
    variable = QueryVariable(name).label(label).datasource(SOURCE).query(query).multi(multi=True)
    variable.include_all(include_all=True).all_value(EVERYTHING).current(_option("$__all", "All"))
    return variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)


def _option(value: str, text: str | None = None) -> VariableOption:
    return VariableOption(text=text or value, value=value, selected=True)
