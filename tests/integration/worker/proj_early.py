"""The app with its one line, and an SDK that has moved a name: that is said before Celery's logging is set up."""

from __future__ import annotations

from opentelemetry.sdk.metrics.export import MetricReader

from tests.integration.worker import proj_line

app = proj_line.app

MetricReader.__abstractmethods__ -= {"_receive_metrics"}
