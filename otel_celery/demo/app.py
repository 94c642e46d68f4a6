"""The demo's Celery app; its broker comes from CELERY_BROKER_URL, and its tasks from ``demo.tasks``."""

from __future__ import annotations

from celery import Celery

app = Celery("otel_celery.demo", include=["otel_celery.demo.tasks"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    task_default_queue="general",
    task_routes={
        "orders.*": "trading",
        "pipelines.*": "pipeline",
        "allocations.*": "allocation",
        "market.*": "market",
    },
    worker_enable_remote_control=False,  # the demo does not use it, and its traffic is noise
)
