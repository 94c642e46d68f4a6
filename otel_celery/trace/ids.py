"""The trace id and span id of a run, made in the main process and used by the pool child that runs the task.

If the child is killed, the main process can export the run's span itself, with the span id that the spans inside the
run have as their parent.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from opentelemetry.sdk.trace.id_generator import IdGenerator

from otel_celery.export import plugins

HEADER = "otel_celery_run"
"""The name of a header that a request has in the worker; it is never part of a published message."""


class Run(NamedTuple):
    """The ids of a run's span; its trace id is used only if the task's message carries no trace."""

    trace_id: int
    span_id: int

    @property
    def header(self) -> str:
        """The header's value: both ids in hexadecimal."""
        return f"{self.trace_id:032x}-{self.span_id:016x}"


def run_of(header: object) -> Run | None:
    """Parse the header's value; None if it is missing or invalid."""
    if not isinstance(header, str):
        return None
    trace_id, _, span_id = header.partition("-")
    try:
        return Run(int(trace_id, 16), int(span_id, 16))
    except ValueError:  # not ours: a publisher may set any header
        return None


class RunIds(IdGenerator):
    """An id generator that gives the next span of a thread the ids of its run, if there is one."""

    def __init__(self, base: IdGenerator) -> None:
        """Take all other ids from ``base``, such as the SDK's generator."""
        self._base = base
        self._expected = threading.local()

    def run(self) -> Run:
        """Generate the ids of a new run."""
        return Run(self._base.generate_trace_id(), self._base.generate_span_id())

    def expect(self, run: Run | None) -> None:
        """Give the ids of ``run`` to the next span that begins in this thread; None cancels this."""
        self._expected.run = run

    def generate_trace_id(self) -> int:
        """Return the trace id of a root span."""
        run: Run | None = getattr(self._expected, "run", None)
        return self._base.generate_trace_id() if run is None else run.trace_id

    def generate_span_id(self) -> int:
        """Return the id of a span; the SDK calls this after ``generate_trace_id``."""
        run: Run | None = getattr(self._expected, "run", None)
        if run is None:
            return self._base.generate_span_id()
        self._expected.run = None
        return run.span_id

    def is_trace_id_random(self) -> bool:
        """Tell whether the trace ids of ``base`` are random."""
        return self._base.is_trace_id_random()


def generator(name: str) -> RunIds:
    """Load the id generator that OTEL_PYTHON_ID_GENERATOR names.

    Raises RefusedError if it is not installed or does not work.
    """
    variable = "OTEL_PYTHON_ID_GENERATOR"
    missing = f"{variable} names {name!r}, which is not installed"
    return RunIds(plugins.make(plugins.load("opentelemetry_id_generator", name, variable, missing), name, variable))
