"""The tracing of one process: whose spans it makes, whose provider it uses, and how long its end waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from celery import signals
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from otel_celery.masking import RefusedError
from otel_celery.settings.settings import traces
from otel_celery.trace import contrib, provider
from otel_celery.trace.process import ProcessTracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.otlp import Receiver

OF_CHILDREN = (signals.worker_process_init, signals.worker_process_shutdown, signals.beat_embedded_init)


@pytest.fixture
def errors() -> list[Exception]:
    """Give what was reported."""
    return []


@pytest.fixture
def make(receiver: Receiver, errors: list[Exception]) -> Iterator[Callable[..., ProcessTracing]]:
    """Give a function that makes a tracing, and take everything away afterwards."""
    made: list[ProcessTracing] = []
    before = [list(signal.receivers or ()) for signal in OF_CHILDREN]

    def tracing(**variables: str) -> ProcessTracing:
        found = traces({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **variables})
        assert found is not None
        made.append(ProcessTracing(found, {"service.name": "shop"}, errors.append))
        return made[-1]

    yield tracing
    for each in made:
        each.uninstrument()
    assert not contrib.is_on()
    assert provider.application_provider() is None
    assert [list(signal.receivers or ()) for signal in OF_CHILDREN] == before
    assert errors == []


def end_a_span() -> None:
    """Make a span with the process's global provider, as another instrumentation does."""
    trace.get_tracer("another").start_span("of another").end()


def test_making_one_touches_nothing(make: Callable[..., ProcessTracing]) -> None:
    """Celery is instrumented, and the global provider set, where it is started."""
    tracing = make()
    assert (contrib.is_on(), provider.application_provider()) == (False, None)
    tracing.start()
    assert contrib.is_on()


def test_spans_of_other_instrumentations_are_sent_too(make: Callable[..., ProcessTracing], receiver: Receiver) -> None:
    """With the process's own, where the application has set no provider; its end sends what has ended."""
    tracing = make()
    tracing.start()
    end_a_span()
    tracing.close()
    assert [span.name for span in receiver.spans()] == ["of another"]


def test_the_main_process_of_a_pool_sets_no_provider(make: Callable[..., ProcessTracing]) -> None:
    """The application may set one in each child, and a provider can be set only once."""
    tracing = make()
    tracing.start_pool()
    assert contrib.is_on()
    assert provider.application_provider() is None


def test_an_application_that_has_instrumented_celery_keeps_it(make: Callable[..., ProcessTracing]) -> None:
    """Its spans are flushed with the process's end, and no more is done."""
    CeleryInstrumentor().instrument(skip_dep_check=True)
    try:
        tracing = make()
        tracing.start()
        tracing.uninstrument()
        assert contrib.is_on()
    finally:
        CeleryInstrumentor().uninstrument()


def test_a_receiver_that_hangs_holds_an_end_up_for_the_bound(
    make: Callable[..., ProcessTracing], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """And not for the exporter's own timeout, which is 10 s; what was not sent by then is said once."""
    receiver.hangs = True
    tracing = make(OTEL_PYTHON_CELERY_TRACE_FLUSH_TIMEOUT="300")
    tracing.start()
    end_a_span()
    began = time.monotonic()
    tracing.close()
    assert 0.3 <= time.monotonic() - began < 5
    tracing.close()
    said = "could not be sent within 0.3 s, and may be lost"
    assert [said in message for message in caplog.messages] == [True]


def test_spans_that_were_sent_meanwhile_are_not_late(
    make: Callable[..., ProcessTracing], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Though their time is over when somebody waits for them: a worker's last metrics take longer than that."""
    tracing = make()
    tracing.start()
    end_a_span()
    tracing.send()
    assert tracing._courier is not None
    assert tracing._courier.settle(30)
    tracing.wait(time.monotonic() - 1)
    assert receiver.spans("of another")
    assert caplog.messages == []


def test_an_id_generator_that_is_not_installed_is_refused(receiver: Receiver, errors: list[Exception]) -> None:
    """By its name, before anything was instrumented."""
    variables = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_PYTHON_ID_GENERATOR": "dice"}
    found = traces({**variables, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})
    assert found is not None
    with pytest.raises(RefusedError, match="dice"):
        ProcessTracing(found, {}, errors.append)
    assert not contrib.is_on()
