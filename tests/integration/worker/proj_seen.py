"""Read with ``-I`` into a worker: once it is ready, writes down what is installed in it.

With T_GO set to a path, whoever creates that file has the app's instrumentation removed, and the worker looked at
again. The answers are JSON files: T_SEEN, and T_SEEN with ``.removed`` behind it.
"""

from __future__ import annotations

import inspect
import os
import threading
import time
from pathlib import Path
from typing import Any

from celery import signals
from kombu.utils.imports import symbol_by_name
from opentelemetry import metrics

import otel_celery
from tests.integration.worker.answers import write


def _ancestry(cls: Any) -> list[str]:
    return [f"{base.__module__}.{base.__qualname__}" for base in symbol_by_name(cls).__mro__]


def _received_as(consumer: Any, name: str) -> Any:
    """Find the class of which the consumer makes a task's requests."""
    return inspect.getclosurevars(consumer.strategies[name]).nonlocals["Req"].__mro__[1]


def _seen(consumer: Any) -> dict[str, Any]:
    app = consumer.app
    heard = (signals.worker_shutdown, signals.worker_before_create_process, signals.worker_process_init)
    return {
        "requests": {name: _ancestry(_received_as(consumer, name)) for name in sorted(app.tasks)},
        "requests of the tasks": {name: _ancestry(task.Request) for name, task in sorted(app.tasks.items())},
        "request of the app": _ancestry(app.Task.Request),
        "consumer": _ancestry(type(consumer)),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "controller": _ancestry(type(consumer.controller)),
        "steps": sorted(type(step).__qualname__ for step in consumer.controller.steps),
        "steps of the app": sorted(str(step) for step in app.steps["worker"]),
        "receivers": [len(signal.receivers or ()) for signal in heard],
        "provider": type(metrics.get_meter_provider()).__name__,
    }


@signals.worker_ready.connect
def _on_ready(sender=None, **_):
    threading.Thread(target=_look, args=(sender,), name="looks", daemon=True).start()


def _look(consumer: Any) -> None:
    time.sleep(0.3)  # what others do when the worker is ready is done
    write(os.environ["T_SEEN"], _seen(consumer))
    if os.environ.get("T_GO"):
        while not Path(os.environ["T_GO"]).exists():
            time.sleep(0.05)
        handle = otel_celery.instrument(consumer.app)
        handle.uninstrument()
        handle.uninstrument()
        write(f"{os.environ['T_SEEN']}.removed", _seen(consumer))
