"""Switch metrics and spans on without a line in the app: ``celery -A proj worker -I otel_celery.hook``.

Importing this module connects one signal handler, and has no other effect. The signal is ``worker_init``, or
``worker_process_init`` in a spawned pool child, which gets no other.
"""

import sys

from celery import signals

from otel_celery.commandline import is_spawned_child
from otel_celery.worker import on_worker_init, on_worker_process_init

if is_spawned_child(sys.orig_argv):
    signals.worker_process_init.connect(on_worker_process_init, weak=False)
else:
    signals.worker_init.connect(on_worker_init, weak=False)
