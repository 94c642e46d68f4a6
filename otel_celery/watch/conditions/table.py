"""Which condition judges which alert, and which alerts have none here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.watch.conditions import beats, brokers, messages, own, pools, queues, tasks, workers

if TYPE_CHECKING:
    from otel_celery.watch.scene import Judge

CONDITIONS: dict[str, Judge] = {
    "".join(word.capitalize() for word in judge.__name__.split("_")): judge
    for room in (workers, brokers, tasks, messages, pools, queues, beats, own)
    for judge in room.JUDGES
}
"""By the alert's name: ``celery_worker_down`` judges CeleryWorkerDown."""

UNSEEN = {
    "CeleryTargetsMissing": "a watch has endpoints, or says that it has none",
    "CeleryPoolWithoutWorkers": "each endpoint that does not answer is CeleryWorkerDown",
    "CeleryTooFewWorkers": "what you expect is in expectations.yml",
    "CeleryTaskNotSucceeded": "what you expect is in expectations.yml",
    "CelerySeriesDropped": "of Prometheus",
    "PrometheusRulesFailing": "of Prometheus",
    "RedisExporterDown": "of another exporter",
    "RedisDown": "of another exporter",
    "PostgresExporterDown": "of another exporter",
    "PostgresDown": "of another exporter",
    "CelerySuccessBudgetBurningFast": "an hour back",
    "CelerySuccessBudgetBurningSlowly": "six hours back",
    "CelerySuccessBudgetLeaking": "three days back",
}
"""The alerts that it cannot judge, each with the reason."""
