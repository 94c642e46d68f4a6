"""Switches metrics and spans on without a line in the app: ``celery -A proj worker -I otel_celery.hook``.

Importing this module connects one handler of ``worker_init`` and one of ``worker_process_init``, and does nothing else.
"""

from celery import signals

from otel_celery.worker import on_worker_init, on_worker_process_init

signals.worker_init.connect(on_worker_init, weak=False)
signals.worker_process_init.connect(on_worker_process_init, weak=False)
