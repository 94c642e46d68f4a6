"""What our provider says of its process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common._internal import _encode_resource
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from otel_celery.trace import provider
from otel_celery.trace.ids import RunIds
from otel_celery.trace.spans import ProcessSpans

if TYPE_CHECKING:
    import pytest


def test_a_byte_that_is_no_text_costs_a_letter(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """OTLP would leave the attribute out, and log a traceback with each batch; in a forked child as well."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "sh\udcffop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=\udce9t\udce9,a\udcff=b")
    made = provider.make(RunIds(RandomIdGenerator()), ProcessSpans(list), {"celery.worker.name": "w\udcff@h"})
    for _ in range(2):
        sent = {each.key: each.value.string_value for each in _encode_resource(made.resource).attributes}
        assert (sent["service.name"], sent["team"], sent["a?"]) == ("sh?op", "?t?", "b")
        assert sent["celery.worker.name"] == "w?@h"
        made._update_resource(made.resource)
    assert not caplog.records
