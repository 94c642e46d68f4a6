"""The ids of a run, made in the main process and taken by the child that runs the task.

So the main process can tell of a run whose child was killed, under the span id that spans inside it name as their
parent.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from opentelemetry.sdk.trace.id_generator import IdGenerator

from otel_celery.export import plugins

HEADER = "otel_celery_run"
"""In the headers of a request, never of a message: what is published does not carry it."""


class Run(NamedTuple):
    """The ids that a run's span is to have; the trace id counts only where the publisher was not traced."""

    trace_id: int
    span_id: int

    @property
    def header(self) -> str:
        """Write the ids as the header's value."""
        return f"{self.trace_id:032x}-{self.span_id:016x}"


def run_of(header: object) -> Run | None:
    """Read the header's value; None where there is none."""
    if not isinstance(header, str):
        return None
    trace_id, _, span_id = header.partition("-")
    try:
        return Run(int(trace_id, 16), int(span_id, 16))
    except ValueError:  # not ours: headers are the publisher's to choose
        return None


class RunIds(IdGenerator):
    """The SDK's generator of ids, or another, save for the span that is expected next in this thread."""

    def __init__(self, base: IdGenerator) -> None:
        """Take all other ids from ``base``."""
        self._base = base
        self._expected = threading.local()

    def run(self) -> Run:
        """Make the ids of a new run."""
        return Run(self._base.generate_trace_id(), self._base.generate_span_id())

    def expect(self, run: Run | None) -> None:
        """Give the ids of ``run`` to the next span that begins in this thread, or no particular ones."""
        self._expected.run = run

    def generate_trace_id(self) -> int:
        """Give a root span's trace id."""
        run: Run | None = getattr(self._expected, "run", None)
        return self._base.generate_trace_id() if run is None else run.trace_id

    def generate_span_id(self) -> int:
        """Give a span's id; the SDK asks for this one last."""
        run: Run | None = getattr(self._expected, "run", None)
        if run is None:
            return self._base.generate_span_id()
        self._expected.run = None
        return run.span_id

    def is_trace_id_random(self) -> bool:
        """Tell what the other generator tells."""
        return self._base.is_trace_id_random()


def generator(name: str) -> RunIds:
    """Find the generator that OTEL_PYTHON_ID_GENERATOR names.

    Raises RefusedError where nothing installed offers one that works.
    """
    variable = "OTEL_PYTHON_ID_GENERATOR"
    missing = f"{variable} names {name!r}, which is not installed"
    return RunIds(plugins.make(plugins.load("opentelemetry_id_generator", name, variable, missing), name, variable))
