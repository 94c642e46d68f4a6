"""The HTTP port in a worker's main process: metrics and health, in one daemon thread.

This room knows neither Celery nor OpenTelemetry: it is handed a Prometheus registry and a Health.

The loop is written on ``selectors`` rather than asyncio. Under gevent and eventlet a thread is a greenlet of the
thread that runs the tasks, and an asyncio loop that runs there makes ``asyncio.run()`` fail in every task.
"""

from otel_celery.serve.access import AccessError
from otel_celery.serve.health import Health
from otel_celery.serve.server import Endpoint, open_endpoint

__all__ = ["AccessError", "Endpoint", "Health", "open_endpoint"]
