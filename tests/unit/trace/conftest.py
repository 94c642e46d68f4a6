"""A tracing that keeps its spans in memory; nothing of the process is touched but what a test asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from otel_celery.trace import provider
from otel_celery.trace.ids import RunIds
from otel_celery.trace.spans import ProcessSpans
from tests.otlp import http_receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.otlp import Receiver


class Kept:
    """A provider of ours, and the spans that ended on it."""

    def __init__(self) -> None:
        """Keep spans."""
        self.exporter = InMemorySpanExporter()
        self.ids = RunIds(RandomIdGenerator())
        self.spans = ProcessSpans(lambda: [SimpleSpanProcessor(self.exporter)])
        self.provider = provider.make(self.ids, self.spans, {"service.name": "shop", "celery.worker.name": "w@h"})
        self.tracer = self.provider.get_tracer("test")

    @property
    def ended(self) -> list:
        """List the spans that were kept."""
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def kept() -> Kept:
    """Give a provider with a memory."""
    return Kept()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Give a receiver of spans, and have it named in the environment, which the exporters read."""
    with http_receiver() as opened:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", opened.url)
        yield opened
