"""Switches the metrics on without a line in the app: ``celery -A proj worker -I otel_celery.hook``.

Importing this module connects one ``worker_init`` handler, and does nothing else.
"""

from celery import signals

from otel_celery.worker import on_worker_init

signals.worker_init.connect(on_worker_init, weak=False)
