"""Exporters are found by name, imported whole, and quiet while the collector is away."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_celery.pushing import Exporter
from otel_celery.trace.exporters import Outage, Quiet, load
from tests.otlp import http_receiver
from tests.worker.harness import ROOT

SENDS = """
import sys
from otel_celery.settings import traces
from otel_celery.trace.tracing import Tracing
from opentelemetry import trace
tracing = Tracing(traces({"OTEL_TRACES_EXPORTER": "otlp"}), {"service.name": "x"}, print)
tracing.start()
before = set(sys.modules)
trace.get_tracer("x").start_span("x").end()
tracing.close()
print(sorted(set(sys.modules) - before))
"""


def test_sending_the_first_span_imports_nothing() -> None:
    """Else a child that is forked meanwhile waits for ever for the module's lock."""
    with http_receiver() as receiver:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", SENDS], env=environment, capture_output=True, text=True, check=True
        )
        assert len(receiver.spans()) == 1
    assert done.stdout == "[]\n", done.stderr


def test_an_exporter_that_is_not_installed_is_named() -> None:
    """One sentence for the operator."""
    with pytest.raises(LookupError, match="OTEL_TRACES_EXPORTER names 'jaegr', which no installed package"):
        load([Exporter("jaegr")])


class Complaining(SpanExporter):
    """Complains and fails until it is told to succeed."""

    result = SpanExportResult.FAILURE

    def export(self, spans) -> SpanExportResult:
        """Complain."""
        del spans
        if self.result is SpanExportResult.FAILURE:
            logging.getLogger(__name__).warning("no %s", "route")
        return self.result


def test_an_outage_is_said_once(caplog) -> None:
    """And again after it was over."""
    exporter = Complaining()
    quiet = Quiet(exporter, Outage())
    for result in (
        SpanExportResult.FAILURE,
        SpanExportResult.FAILURE,
        SpanExportResult.SUCCESS,
        SpanExportResult.FAILURE,
    ):
        exporter.result = result
        quiet.export([])
    said = [record.getMessage() for record in caplog.records]
    assert said == ["otel-celery: spans cannot be sent, which is said once until they can: no route"] * 2
    logging.getLogger(__name__).filters.clear()
