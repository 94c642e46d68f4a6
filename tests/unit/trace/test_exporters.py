"""Exporters are found by name, imported whole, and quiet while the collector is away."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_celery.masking import RefusedError
from otel_celery.settings.otlp import Exporter
from otel_celery.settings.settings import traces
from otel_celery.trace.exporters import Outage, Quiet, load
from tests.integration.worker.harness import ROOT
from tests.otlp import http_receiver

SENDS = """
import os, sys
from otel_celery.settings.settings import traces
from otel_celery.trace.process import ProcessTracing
from opentelemetry import trace
tracing = ProcessTracing(traces({**os.environ, "OTEL_TRACES_EXPORTER": "otlp"}), {"service.name": "x"}, print)
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
    with pytest.raises(RefusedError, match="OTEL_TRACES_EXPORTER names 'jaegr', which no installed package"):
        load([Exporter("jaegr", signal="traces")], Outage())


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_exporter_of_spans_is_made_by_the_settings(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    """Empty variables, on which the exporters' own code fails, are unset; a timeout is milliseconds."""
    for name in ("COMPRESSION", "TRACES_COMPRESSION", "CERTIFICATE", "HEADERS"):
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", "")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2500")
    found = traces({**os.environ, "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
    assert found is not None
    (make,) = load(found.exporters, Outage())
    exporter: Any = make()._exporter
    assert (exporter if protocol == "grpc" else exporter._client)._timeout == 2.5
    exporter.shutdown()


class Complaining(SpanExporter):
    """Complains and fails until it is told to succeed."""

    result = SpanExportResult.FAILURE

    def export(self, spans) -> SpanExportResult:
        """Complain."""
        del spans
        if self.result is SpanExportResult.FAILURE:
            logging.getLogger(__name__).warning("no %s", "route")
        return self.result


SENTENCE = (
    "otel-celery: spans cannot be sent to there: no route. Tasks are not touched by it; see that a collector listens "
    "there (OTEL_EXPORTER_OTLP_ENDPOINT). This is said once, until they can be sent."
)


def test_an_outage_is_said_once(caplog) -> None:
    """And again after it was over."""
    exporter = Complaining()
    quiet = Quiet(exporter, "there", Outage())
    for result in (
        SpanExportResult.FAILURE,
        SpanExportResult.FAILURE,
        SpanExportResult.SUCCESS,
        SpanExportResult.FAILURE,
    ):
        exporter.result = result
        quiet.export([])
    assert [record.getMessage() for record in caplog.records] == [SENTENCE] * 2


def test_an_outage_is_said_at_the_first_complaint(caplog) -> None:
    """A pool child may end while its exporter still tries."""
    said_meanwhile = []

    class Trying(Complaining):
        def export(self, spans) -> SpanExportResult:
            super().export(spans)
            said_meanwhile.extend(caplog.messages)
            return super().export(spans)

    Quiet(Trying(), "there", Outage()).export([])
    assert said_meanwhile == caplog.messages == [SENTENCE]


def test_what_an_exporter_of_somebody_elses_says_is_let_through(caplog) -> None:
    """An outage of ours is no reason to keep their lines back, nor those of a child that was forked meanwhile."""
    Quiet(Complaining(), "there", Outage()).export([])
    caplog.clear()
    Complaining().export([])
    assert caplog.messages == ["no route"]


def test_a_forked_childs_outage_is_said_where_its_parent_was_exporting() -> None:
    """What the parent holds back is not held back in a child; and the flag that they share says it once for both."""
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", FORKS], env=environment, check=True, capture_output=True, text=True)
    assert done.stderr.count("spans cannot be sent to there: no route") == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


FORKS = """
import os
from otel_celery.trace.exporters import Outage, Quiet
from tests.unit.trace.test_exporters import Complaining
outage = Outage()
class Forking(Complaining):
    def export(self, spans):
        pid = os.fork()
        if pid == 0:
            Quiet(Complaining(), "there", outage).export([])
            os._exit(0)
        os.waitpid(pid, 0)
        return super().export(spans)
Quiet(Forking(), "there", outage).export([])
"""
