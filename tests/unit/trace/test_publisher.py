"""The spans of what a process publishes that is no worker: set up at its first message, and each message has one."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from otel_celery.settings.settings import traces
from otel_celery.trace import contrib, provider, publisher
from otel_celery.trace.process import ProcessTracing
from otel_celery.trace.publisher import PublisherTraces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.otlp import Receiver

PUBLISHED = "apply_async/shop.order"


@pytest.fixture
def watched(receiver: Receiver) -> Iterator[Callable[..., PublisherTraces]]:
    """Give a function that waits for a first message, and make no more spans afterwards."""
    made: list[PublisherTraces] = []

    def watch(**variables: str) -> PublisherTraces:
        found = traces({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **variables})
        assert found is not None
        made.append(PublisherTraces(found, {"service.name": "shop"}))
        return made[-1]

    yield watch
    for each in made:
        each.uninstrument()
    assert not contrib.is_on()
    assert provider.application_provider() is None


def publish(times: int = 1) -> None:
    """Publish a task on a broker in memory."""
    app = Celery("shop", broker="memory://", set_as_current=False)
    for _ in range(times):
        app.send_task("shop.order")


def test_nothing_is_set_up_before_the_first_message(watched: Callable[..., PublisherTraces]) -> None:
    """The application may still set up its own, and a server may still fork."""
    watched()
    assert not contrib.is_on()
    assert provider.application_provider() is None
    publish()
    assert contrib.is_on()


def test_each_message_has_one_span_and_the_first_one_too(
    watched: Callable[..., PublisherTraces], receiver: Receiver
) -> None:
    """They are sent where the spans end to be made."""
    made = watched()
    publish(3)
    made.uninstrument()
    assert [span.name for span in receiver.spans()] == [PUBLISHED] * 3
    publish()
    assert len(receiver.spans()) == 3


def test_an_application_that_has_instrumented_celery_itself_has_its_own_spans(
    watched: Callable[..., PublisherTraces], receiver: Receiver
) -> None:
    """Then nothing is set up, and contrib stays as the application has it."""
    CeleryInstrumentor().instrument(skip_dep_check=True)
    try:
        made = watched()
        publish(2)
        made.uninstrument()
        assert contrib.is_on()
        assert receiver.spans() == []
    finally:
        CeleryInstrumentor().uninstrument()


def test_a_worker_of_this_process_makes_the_spans_itself(
    watched: Callable[..., PublisherTraces], receiver: Receiver
) -> None:
    """Until it is over: then a first message is waited for again."""
    made = watched()
    made.close()
    publish()
    assert not contrib.is_on()
    made.reopen()
    publish()
    made.uninstrument()
    assert [span.name for span in receiver.spans()] == [PUBLISHED]


def test_what_cannot_be_set_up_is_said_once_and_costs_no_message(
    watched: Callable[..., PublisherTraces], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """An id generator that nobody has installed is named."""
    watched(OTEL_PYTHON_ID_GENERATOR="dice")
    publish(2)
    said = [*capsys.readouterr().err.splitlines(), *caplog.messages]
    (line,) = [line for line in said if "no spans are made of what this process publishes" in line]
    assert "dice" in line
    assert not contrib.is_on()


class Mail(logging.Handler):
    """Mails what is logged by a task, as applications do."""

    def emit(self, record: logging.LogRecord) -> None:
        """Publish in this thread, and in another one."""
        del record
        publish()
        publish_in_time()


def publish_in_time() -> None:
    """Publish in a thread of its own, which nothing holds up."""
    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_a_log_that_is_mailed_by_a_task_stops_no_message(watched: Callable[..., PublisherTraces]) -> None:
    """What cannot be set up is said while nobody waits for it."""
    watched(OTEL_PYTHON_ID_GENERATOR="dice")
    mail = Mail()
    logging.getLogger("otel_celery").addHandler(mail)
    try:
        publish_in_time()
    finally:
        logging.getLogger("otel_celery").removeHandler(mail)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Give a list of what is done, each once, while tracing is set up."""
    what: list[Callable[[], object]] = []

    class Tracing(ProcessTracing):
        def start(self, *args: Any) -> None:
            while what:
                what.pop()()
            super().start(*args)

    monkeypatch.setattr(publisher, "ProcessTracing", Tracing)
    return what


def test_a_message_that_the_same_thread_publishes_meanwhile_does_not_wait(
    watched: Callable[..., PublisherTraces], receiver: Receiver, meanwhile: list[Callable[[], object]]
) -> None:
    """A handler of a signal does, for instance: that message has no span, and the one that it interrupted has."""
    made = watched()
    meanwhile.append(publish)
    publish_in_time()
    made.uninstrument()
    assert [span.name for span in receiver.spans()] == [PUBLISHED]


@pytest.mark.filterwarnings("ignore:Using fork:DeprecationWarning")  # eventlet's, where another test has imported it
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # with several threads: that is the point
def test_a_child_that_is_forked_meanwhile_waits_for_nobody(
    watched: Callable[..., PublisherTraces], meanwhile: list[Callable[[], object]]
) -> None:
    """The thread that sets tracing up is not there to end the wait."""
    made = watched()
    begun, over = threading.Event(), threading.Event()
    meanwhile += [lambda: over.wait(10), begun.set]
    thread = threading.Thread(target=publish)
    thread.start()
    assert begun.wait(10)
    meanwhile.clear()
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        made.open()
        os._exit(0)
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
