"""Where a process that is no worker records what it publishes, and what a worker and a fork change."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from otel_celery import publishing
from otel_celery.lifecycle import SENT_HEADER
from otel_celery.publish.front import NAME
from otel_celery.saying import say
from tests.integration.worker.harness import ROOT
from tests.otlp import http_receiver
from tests.unit.observe.fakes import make_app, nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery

VARIABLES = ("OTEL_METRICS_EXPORTER", "OTEL_SDK_DISABLED", "PROMETHEUS_ENABLED", "OTEL_PYTHON_CELERY_SENT_HEADER")
LABELS = {"task_name": "proj.add", "queue": "celery"}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with an environment without our variables."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def app() -> Celery:
    """Make an app with one task."""
    app = make_app()
    app.task(shared=False, name="proj.add")(nothing)
    return app


@pytest.fixture
def made(app: Celery) -> Iterator[publishing.Publishing]:
    """Stand in front of it."""
    found = publishing.for_app(app, os.environ)
    assert found is not None
    yield found
    found.uninstrument()


def count(registry: CollectorRegistry) -> float | None:
    """Read how many were published."""
    return registry.get_sample_value("celery_task_published_total", LABELS)


def test_a_registry_has_what_is_published(app: Celery, made: publishing.Publishing) -> None:
    """Where the application has asked for it."""
    registry = CollectorRegistry()
    made.publish_to(registry)
    app.tasks["proj.add"].delay()
    assert count(registry) == 1


def test_a_worker_counts_in_place_of_it_and_gives_it_back(app: Celery, made: publishing.Publishing) -> None:
    """While the worker lives its own observer hears of messages."""
    registry, others = CollectorRegistry(), CollectorRegistry()
    made.publish_to(registry)
    worker = publishing.PlainPublisher("w")
    worker.registry = others
    made.hand_to(worker)
    app.tasks["proj.add"].delay()
    made.take_back()
    app.tasks["proj.add"].delay()
    assert (count(others), count(registry)) == (1, 1)


def test_a_registry_with_our_name_in_it_stops_no_message(
    app: Celery, made: publishing.Publishing, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and messages go on."""
    registry = CollectorRegistry()
    made.publish_to(registry)
    from prometheus_client import Counter

    Counter("celery_task_published", "the application's own", registry=registry)
    for _ in range(3):
        app.tasks["proj.add"].delay()
    assert sum("is not counted" in record.message for record in caplog.records) == 1


def test_a_bad_value_stops_no_message(
    app: Celery,
    made: publishing.Publishing,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The variable is named once."""
    del made
    monkeypatch.setenv("OTEL_PYTHON_CELERY_BUCKETS", "nonsense")
    for _ in range(3):
        app.tasks["proj.add"].delay()
    assert sum("OTEL_PYTHON_CELERY_BUCKETS" in record.message for record in caplog.records) == 1


class Mail(logging.Handler):
    """Mails what is logged by a task, as applications do."""

    def __init__(self, publish: Callable[[], object]) -> None:
        """Publish so."""
        super().__init__()
        self._publish = publish

    def emit(self, record: logging.LogRecord) -> None:
        """Publish in this thread, and in another one."""
        del record
        self._publish()
        in_time(self._publish)


def in_time(publish: Callable[[], object]) -> None:
    """Publish in a thread of its own, which nothing holds up."""
    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_a_log_that_is_mailed_by_a_task_stops_no_message(app: Celery, made: publishing.Publishing) -> None:
    """What is wrong with the push is said as it is decided where to count: what is published meanwhile counts too."""
    publish = app.tasks["proj.add"].delay
    registry, mail = CollectorRegistry(), Mail(publish)
    made.publish_to(registry)
    decide = made.plain._decide

    def deciding() -> Any:
        say(logging.ERROR, "what this process publishes is not pushed")
        return decide()

    made.plain._decide = deciding  # type: ignore[method-assign]
    logging.getLogger("otel_celery").addHandler(mail)
    try:
        in_time(publish)
    finally:
        logging.getLogger("otel_celery").removeHandler(mail)
    assert count(registry) == 3


def test_what_is_published_before_it_is_decided_where_to_count_is_bounded(
    app: Celery, made: publishing.Publishing, caplog: pytest.LogCaptureFixture
) -> None:
    """The oldest go, and that is said once, with how many."""
    registry = CollectorRegistry()
    made.publish_to(registry)
    decide = made.plain._decide

    def deciding() -> Any:
        for _ in range(publishing.MAX_EARLY + 5):
            made.plain.published("proj.add", "celery", 0.1, None)
        return decide()

    made.plain._decide = deciding  # type: ignore[method-assign]
    app.tasks["proj.add"].delay()
    assert count(registry) == publishing.MAX_EARLY
    assert sum("6 publishes are not counted" in record.message for record in caplog.records) == 1


class Sparse:
    """An application's own meter: it has what is recorded synchronously only, and cannot be referred to weakly."""

    __slots__ = ("create_counter", "create_histogram")

    def __init__(self, meter: metrics.Meter) -> None:
        """Record with the SDK's."""
        self.create_counter, self.create_histogram = meter.create_counter, meter.create_histogram


def test_a_meter_that_cannot_show_since_when_counts_all_the_same(
    app: Celery,
    made: publishing.Publishing,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its application is told once, and nothing else is lost."""
    reader = InMemoryMetricReader()
    meter = Sparse(MeterProvider([reader]).get_meter("theirs"))
    monkeypatch.setattr(metrics, "get_meter_provider", SimpleNamespace)
    monkeypatch.setattr(metrics, "get_meter", lambda *_: meter)
    for _ in range(3):
        app.tasks["proj.add"].delay()
    made.uninstrument()
    data = reader.get_metrics_data()
    assert data is not None
    sent, *_ = json.loads(data.to_json())["resource_metrics"][0]["scope_metrics"][0]["metrics"]
    assert (sent["name"], sent["data"]["data_points"][0]["value"]) == ("celery.task.published", 3)
    assert [record.levelname for record in caplog.records if "since when" in record.message] == ["WARNING"]
    assert "is not counted" not in caplog.text


def test_a_uwsgi_without_threads_is_told_when_it_pushes(
    app: Celery,
    made: publishing.Publishing,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once, with what to set."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt={"processes": b"2"}))
    with http_receiver() as receiver:
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        for _ in range(3):
            app.tasks["proj.add"].delay()
        made.uninstrument()  # the last push has somebody to go to, and its thread does not outlive the test
    assert sum("--enable-threads" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(("value", "expected"), [("", True), ("true", True), ("nonsense", True), ("false", False)])
def test_the_header_can_be_switched_off(
    app: Celery, monkeypatch: pytest.MonkeyPatch, value: str, *, expected: bool
) -> None:
    """By one variable."""
    monkeypatch.setenv("OTEL_PYTHON_CELERY_SENT_HEADER", value)
    made = publishing.for_app(app, os.environ)
    assert made is not None
    message = app.amqp.as_task_v2("1", "proj.add")
    with app.producer_or_acquire() as producer:
        app.amqp.send_task_message(producer, "proj.add", message, queue="celery")
    made.uninstrument()
    assert (SENT_HEADER in message.headers) == expected


def test_nothing_stands_there_with_the_sdk_disabled(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SDK_DISABLED leaves everything as it was."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    app.tasks["proj.add"].delay()
    assert publishing.for_app(app, os.environ) is None
    assert not hasattr(vars(app.amqp)[NAME], "otel_celery_front")


PROGRAM = """
import sys
from celery import Celery
from otel_celery import instrument
app = Celery("shop", broker="memory://")
handle = instrument(app)
app.send_task("proj.add")
print(sorted(name for name in sys.modules if name.startswith("opentelemetry.")))
"""

LATE = """
from celery import Celery
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from otel_celery import instrument
app = Celery("shop", broker="memory://")
instrument(app)
app.send_task("proj.add")
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
for _ in range(3):
    app.send_task("proj.add")
found = {m.name: m.data.data_points for m in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics}
(point,) = found["celery.task.published"]
print(point.value, dict(point.attributes))
"""


SINCE = """
import os, sys, time
from celery import Celery
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from otel_celery import instrument
shop, bank = Celery("shop", broker="memory://"), Celery("bank", broker="memory://")
first, second = instrument(shop), instrument(bank)
shop.send_task("proj.add")
bank.send_task("proj.add")
if pid := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
before, reader = time.time(), InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
shop.send_task("proj.add")
bank.send_task("proj.add")
first.uninstrument()
found = {m.name: m.data.data_points for m in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics}
(point,), (since,) = found["celery.task.published"], found["otel_celery.start.timestamp"]
print(point.value, before < since.value < time.time())
"""


def run(program: str, **environment: str) -> str:
    """Run a program in a process of its own."""
    own: dict[str, Any] = {"PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=own)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.strip()


def test_nothing_is_imported_where_nothing_is_asked_for() -> None:
    """A script without settings pays for the header alone."""
    assert run(PROGRAM) == "[]"


def test_a_provider_that_the_application_sets_later_is_used() -> None:
    """What was published before that is not counted."""
    assert run(LATE) == "3 {'task_name': 'proj.add', 'queue': 'celery'}"


def test_a_provider_that_is_set_after_the_fork_is_told_since_when_it_counts() -> None:
    """A server that has published before it forks sets one in each process: that is when counting begins.

    Several apps say so by one gauge, for as long as one of them is instrumented.
    """
    assert run(SINCE) == "2 True"


def test_a_script_without_a_provider_pushes_at_its_end() -> None:
    """By the standard variables, as the service that the app is called, with the application's provider left unset."""
    before = time.time()
    with http_receiver() as receiver:
        run(PROGRAM, OTEL_METRICS_EXPORTER="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
        (point,) = receiver.points("celery.task.published")
        (start,) = receiver.points("otel_celery.start.timestamp")
    assert point.value == 1
    assert point.resource["service.name"] == "shop"
    assert type(metrics.get_meter_provider()).__name__ != "MeterProvider"
    names = {"celery.task.published", "celery.task.publish.duration", "otel_celery.start.timestamp"}
    assert {found.name for found in receiver.points()} == names
    assert before < start.value < time.time()
    assert (start.scope, start.attributes) == (point.scope, {})
