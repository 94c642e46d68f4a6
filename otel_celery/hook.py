"""Switches metrics and spans on without a line in the app: ``celery -A proj worker -I otel_celery.hook``.

Importing this module connects one handler, and does nothing else: of ``worker_init``, or, in a pool's child that was
spawned, of ``worker_process_init``, the only moment that such a child has.
"""

import sys

from celery import signals

from otel_celery.commandline import is_spawned_child
from otel_celery.worker import on_worker_init, on_worker_process_init

if is_spawned_child(sys.orig_argv):
    signals.worker_process_init.connect(on_worker_process_init, weak=False)
else:
    signals.worker_init.connect(on_worker_init, weak=False)
