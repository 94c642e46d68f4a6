"""Switch metrics and spans on without a line in the app: ``celery -A proj worker -I otel_celery.hook``.

Importing this module connects two signal handlers, and has no other effect. The signals are ``beat_init``, and
``worker_init``, or ``worker_process_init`` in a spawned pool child, which gets no other. ``celery beat`` has no ``-I``:
there the app's setting ``imports`` names this module.
"""

import sys

from celery import signals

from otel_celery.commandline import is_spawned_child
from otel_celery.worker import on_beat_init, on_worker_init, on_worker_process_init

if is_spawned_child(sys.orig_argv):
    signals.worker_process_init.connect(on_worker_process_init, weak=False)
else:
    signals.worker_init.connect(on_worker_init, weak=False)
signals.beat_init.connect(on_beat_init, weak=False)
