"""The entry points for opentelemetry-instrument: what counts as a worker, and how little is imported for it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from otel_celery.auto import CeleryWorkerInstrumentor, pre_instrument


def test_the_entry_points_are_declared() -> None:
    """opentelemetry-instrument finds both under their names."""
    found = {
        group: {each.name: each for each in entry_points(group=group)}
        for group in ("opentelemetry_instrumentor", "opentelemetry_pre_instrument")
    }
    assert found["opentelemetry_instrumentor"]["celery_worker"].load() is CeleryWorkerInstrumentor
    assert found["opentelemetry_pre_instrument"]["celery_worker"].load() is pre_instrument


def test_the_supported_versions_of_celery_are_told() -> None:
    """opentelemetry-instrument skips us where Celery is too old."""
    assert list(CeleryWorkerInstrumentor().instrumentation_dependencies()) == ["celery >= 5.4"]


def run(script: str, *argv: str, **environ: str) -> list[str]:
    """Run a script in a process of its own, and return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script, *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


NEVER = (
    "print(sorted(name for name in sys.modules if name.partition('.')[0] in {'celery', 'kombu', 'billiard', 'gevent'}))"
)


def test_importing_the_entry_points_imports_nothing_of_celery() -> None:
    """A green pool is patched before Celery is there, or runs no task."""
    assert run(f"import sys, otel_celery.auto\n{NEVER}") == ["[]"]


def test_nothing_is_patched_for_other_commands() -> None:
    """Under a web server the pre-instrument hook does nothing at all."""
    script = f"import sys; from otel_celery.auto import pre_instrument; pre_instrument()\n{NEVER}"
    assert run(script, "worker") == ["[]"]


@pytest.mark.parametrize("pool", ["gevent", "eventlet"])
def test_a_green_worker_is_patched_first(pool: str) -> None:
    """For celery worker -P gevent or eventlet the patches are on before anything else is imported."""
    pytest.importorskip(pool)
    script = """
import sys
sys.argv[0] = "celery"
from otel_celery.auto import pre_instrument
pre_instrument()
import socket
print(socket.socket.__module__.partition(".")[0], "celery.worker.request" in sys.modules)
"""
    assert run(script, "-A", "proj", "worker", "-P", pool) == [f"{pool} False"]


def test_instrumenting_connects_one_handler_and_uninstrumenting_takes_it_away() -> None:
    """Only celery.signals is needed, and nothing of the worker's is imported for it."""
    script = """
import sys
from otel_celery.auto import CeleryWorkerInstrumentor
from celery import signals
each, count = CeleryWorkerInstrumentor(), []
for step in (each.instrument, each.instrument, each.uninstrument):
    step()
    count.append(len(signals.worker_init.receivers))
print(count, "celery.worker.request" in sys.modules, "otel_celery.worker" in sys.modules)
"""
    assert run(script)[-1] == "[1, 1, 0] False False"
