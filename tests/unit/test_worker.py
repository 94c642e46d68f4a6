"""The place where the rooms are joined: who is instrumented, what is said on stderr, and whether a worker is ready."""

from __future__ import annotations

import logging
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from celery import signals

from otel_celery import worker as module
from otel_celery.controller import ObservedController
from otel_celery.observe.consumer import ObservedConsumer
from otel_celery.serve.health import WorkerHealth
from otel_celery.settings.settings import ENDS, EX_CONFIG
from otel_celery.worker import Instrumentation, instrument, on_worker_init
from tests.services import free_port
from tests.unit.observe.fakes import Worker, make_app
from tests.unit.record.fakes import FakeLevels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery

OURS = "OTEL_PYTHON_CELERY_"
SIGNALS = ("worker_init", "worker_shutdown", "worker_ready", "worker_before_create_process")


def steps(worker: Worker) -> list[str]:
    """Name our steps of a worker."""
    return [step.name for step in worker.Blueprint.default_steps if getattr(step, "__name__", "") == "OtelCelery"]


@pytest.fixture(autouse=True)
def _deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no log that takes what we say, so that it is on stderr: pytest's own handlers take everything."""
    monkeypatch.setattr("otel_celery.saying._logger", logging.Logger("deaf"))  # noqa: LOG001  outside the tree


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin with an environment without our variables, and see that no handler stays connected."""
    for name in ("PROMETHEUS_ENABLED", "PROMETHEUS_PORT", "OTEL_METRICS_EXPORTER", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    before = {name: list(getattr(signals, name).receivers) for name in SIGNALS}
    yield
    after = {name: list(getattr(signals, name).receivers) for name in SIGNALS}
    for name, receivers in before.items():
        getattr(signals, name).receivers[:] = receivers
        getattr(signals, name).sender_receivers_cache.clear()
    assert after == before


@pytest.fixture
def enabled(monkeypatch: pytest.MonkeyPatch) -> int:
    """Switch the metrics on, on a free port."""
    port = free_port()
    monkeypatch.setenv("PROMETHEUS_ENABLED", "true")
    monkeypatch.setenv("PROMETHEUS_PORT", str(port))
    return port


@pytest.fixture
def app() -> Iterator[Celery]:
    """Make an app, and take our hands off it afterwards."""
    app = make_app()
    yield app
    if app in module._handles:
        module._handles[app].uninstrument()


@pytest.fixture
def start(app: Celery) -> Callable[[], Worker]:
    """Start a worker of the app, as far as its logging is set up."""

    def init() -> Worker:
        worker = Worker(app, consumer_cls="celery.worker.consumer:Consumer", pool_cls="solo", concurrency=1)
        signals.worker_init.send(sender=worker)
        worker.on_init_blueprint()
        return worker

    return init


# -- who is instrumented -----------------------------------------------------------------------------------------------


def test_the_same_app_has_the_same_handle(app: Celery) -> None:
    """Instrumenting twice is instrumenting once, also by way of Celery's proxy for the current app."""
    from celery._state import get_current_app
    from celery.local import Proxy

    assert instrument(app) is instrument(app)
    assert instrument(Proxy(lambda: app)) is instrument(app)
    assert isinstance(instrument(app), Instrumentation)
    assert get_current_app() is not app


@pytest.mark.parametrize("given", ["proj", None, logging, 7])
def test_what_is_no_app_is_refused(given: object) -> None:
    """With the right spelling in the error."""
    with pytest.raises(TypeError, match=r"^instrument\(\) takes a Celery app, and not .*: write instrument\(app\)$"):
        instrument(given)


def test_a_worker_of_the_app_is_observed(app: Celery, start: Callable[[], Worker], enabled: int) -> None:
    """At worker_init its own classes are in front, the port's step is among its own, and the app is as it was."""
    del enabled
    instrument(app)
    worker = start()
    assert issubclass(worker.consumer_cls, ObservedConsumer)
    assert isinstance(worker, ObservedController)
    assert steps(worker) == ["otel_celery"]
    assert app.Task.Request == "celery.worker.request:Request"
    assert not app.steps["worker"]


def test_another_apps_worker_is_left_alone(app: Celery, enabled: int) -> None:
    """A handle is for one app."""
    del enabled
    instrument(app)
    other = Worker(make_app(), consumer_cls="celery.worker.consumer:Consumer")
    signals.worker_init.send(sender=other)
    assert other.consumer_cls == "celery.worker.consumer:Consumer"


def test_a_worker_that_is_started_twice_is_observed_once(
    app: Celery, start: Callable[[], Worker], enabled: int
) -> None:
    """Two ways of switching on come to one installation."""
    del enabled
    instrument(app)
    worker = start()
    before = worker.consumer_cls
    on_worker_init(worker)
    assert worker.consumer_cls is before
    assert steps(worker) == ["otel_celery"]


def test_uninstrumenting_leaves_nothing_behind(app: Celery, start: Callable[[], Worker], enabled: int) -> None:
    """The handle is gone, twice over, and the app can be instrumented again."""
    del enabled
    handle = instrument(app)
    start()
    handle.uninstrument()
    handle.uninstrument()
    assert instrument(app) is not handle
    assert issubclass(start().consumer_cls, ObservedConsumer)


def test_a_worker_that_is_over_is_closed(app: Celery, start: Callable[[], Worker], enabled: int) -> None:
    """The end of this worker ends the recording; another's does not."""
    del enabled
    handle = instrument(app)
    worker, other = start(), start()
    session, others = (next(s for s in handle.sessions if s._worker is each) for each in (worker, other))
    worker.stop()
    worker.stop()
    assert session._recording.tallies.is_closed
    assert session._watch.levels.has_drained
    assert not others._recording.tallies.is_closed


def test_a_worker_that_never_began_is_not_over(app: Celery, start: Callable[[], Worker], enabled: int) -> None:
    """Celery's ``stop`` does nothing to it, and it may still be started."""
    del enabled
    handle = instrument(app)
    worker = start()
    (session,) = handle.sessions
    worker.blueprint = SimpleNamespace(state=None)
    worker._otel_call(lambda: None)
    assert not session._outlets.is_closed
    with pytest.raises(GeneratorExit):
        worker._otel_call(Mock(side_effect=GeneratorExit))
    assert session._outlets.is_closed


def test_a_workers_spans_are_sent_at_its_end_and_no_more_are_made(
    app: Celery, start: Callable[[], Worker], enabled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are on their way before anything else is waited for; a later worker of the process begins anew."""
    del enabled
    spans = Mock(lost=None, has_grpc=False)
    monkeypatch.setattr("otel_celery.trace.entry.for_worker", lambda *_: spans)
    handle = instrument(app)
    worker = start()
    (session,) = handle.sessions
    session.pool_prepared()
    worker.stop()
    assert [name for name, _, _ in spans.method_calls] == ["begin", "send", "wait", "uninstrument"]


# -- what is said ------------------------------------------------------------------------------------------------------


def test_off_touches_nothing_and_says_so_when_logging_is_set_up(
    app: Celery, start: Callable[[], Worker], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a variable the worker is Celery's own, and one line says how to switch the metrics on."""
    caplog.set_level(logging.INFO, "otel_celery")
    instrument(app)
    worker = start()
    assert worker.consumer_cls == "celery.worker.consumer:Consumer"
    assert app.Task.Request == "celery.worker.request:Request"
    worker.on_init_blueprint()
    assert caplog.messages == ["otel-celery: metrics are off for worker w@h; PROMETHEUS_ENABLED=true switches them on"]
    assert capsys.readouterr().err == ""


def test_a_bad_value_is_one_line_and_the_worker_runs(
    app: Celery, start: Callable[[], Worker], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Metrics stay off, and the line names the variable, the value and what is allowed."""
    monkeypatch.setenv("PROMETHEUS_ENABLED", "yes")
    instrument(app)
    worker = start()
    assert worker.consumer_cls == "celery.worker.consumer:Consumer"
    assert "on_init_blueprint" not in vars(worker)
    assert capsys.readouterr().err == (
        "otel-celery: ERROR: PROMETHEUS_ENABLED='yes' is not allowed: it must be true or false; "
        "metrics and spans are off\n"
    )


def test_a_bad_value_ends_a_strict_worker(
    app: Celery, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """OTEL_PYTHON_CELERY_STRICT makes it the last line, which says so, with status 78."""
    monkeypatch.setenv("PROMETHEUS_ENABLED", "yes")
    monkeypatch.setenv("OTEL_PYTHON_CELERY_STRICT", "true")
    worker = Worker(app)
    instrument(app).start(worker)
    assert capsys.readouterr().err == "", "nobody may read it yet"
    with pytest.raises(SystemExit) as ended:
        worker.on_init_blueprint()
    assert ended.value.code == EX_CONFIG == 78
    assert capsys.readouterr().err == (
        "otel-celery: ERROR: PROMETHEUS_ENABLED='yes' is not allowed: it must be true or false; "
        "the worker ends (strict, status 78)\n"
    )


BAD = {
    "PROMETHEUS_ENABLED": ("maybe", "true or false"),
    "OTEL_SDK_DISABLED": ("1", "true or false"),
    "OTEL_METRICS_EXPORTER": ("none,prometheus", "none alone"),
    "OTEL_EXPORTER_PROMETHEUS_PORT": ("-1", "a whole number from 1 to 65535"),
    f"{OURS}BUCKETS": ("1,a,3", "increasing positive numbers"),
    f"{OURS}MAX_TASK_NAMES": ("0", "a whole number from 1 to 100000"),
    f"{OURS}MAX_EXCEPTIONS": ("many", "a whole number from 1 to 10000"),
    f"{OURS}LABEL_LENGTH": ("7", "a whole number from 8 to 10000"),
    f"{OURS}CREDENTIALS_FILE": ("/no/such/file", "No such file"),
    f"{OURS}TLS_CERT_FILE": ("/no/such/cert", f"set when {OURS}TLS_CERT_FILE is"),
    f"{OURS}TLS_CLIENT_CA_FILE": ("/no/such/ca", f"set when {OURS}TLS_CLIENT_CA_FILE is"),
    f"{OURS}STRICT": ("perhaps", "true or false"),
    "OTEL_METRICS_EXEMPLAR_FILTER": ("nonsense", "trace_based, always_on or always_off"),
    "OTEL_PROPAGATORS": ("nonsense", "installed entry points of opentelemetry_propagator"),
    "OTEL_PYTHON_CONTEXT": ("nonsense", "an installed entry point of opentelemetry_context"),
    "OTEL_PYTHON_METER_PROVIDER": ("nonsense", "an installed entry point of opentelemetry_meter_provider"),
    "OTEL_PYTHON_TRACER_PROVIDER": ("nonsense", "an installed entry point of opentelemetry_tracer_provider"),
}
KINDS = [
    *((name, value, allowed) for name, (value, allowed) in BAD.items()),
    *(("PROMETHEUS_PORT", value, "a whole number from 1 to 65535") for value in ("0", "70000", "-1", "abc", "٣")),
    *((f"{OURS}BUCKETS", value, "increasing positive numbers") for value in ("3,2", "-1,2", "nan", "1,inf", "1,1")),
]


def is_about(line: str, variable: str, value: str, allowed: str) -> bool:
    """Tell whether a line says what is wrong: a file that is missing is named by the variable that must name it."""
    named = variable in line and (value in line or allowed.startswith("set when"))
    return line.startswith("otel-celery: ERROR: ") and named and allowed in line


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_bad_value_is_said_in_one_line(
    app: Celery,
    enabled: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: tuple[str, str, str],
) -> None:
    """It names variable, value and what is allowed; the worker goes on, or ends with status 78 if it is strict."""
    del enabled
    variable, value, allowed = kind
    monkeypatch.setattr(sys, "argv", ["celery", "worker"])
    monkeypatch.setenv(variable, value)
    worker = Worker(app)
    instrument(app).start(worker)
    worker.on_init_blueprint()
    line = capsys.readouterr().err
    assert is_about(line, variable, value, allowed), line
    assert line.endswith("; metrics and spans are off\n")
    if variable != f"{OURS}STRICT":
        monkeypatch.setenv(f"{OURS}STRICT", "true")
        worker = Worker(app)
        instrument(app).start(worker)
        with pytest.raises(SystemExit) as ended:
            worker.on_init_blueprint()
        assert ended.value.code == EX_CONFIG
        assert capsys.readouterr().err == line.replace("; metrics and spans are off", ENDS)


def test_an_unknown_variable_is_a_warning(
    app: Celery,
    start: Callable[[], Worker],
    enabled: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A misspelt name is said, and the metrics are on."""
    del enabled
    monkeypatch.setenv("OTEL_PYTHON_CELERY_BUCKET", "1")
    instrument(app)
    assert issubclass(start().consumer_cls, ObservedConsumer)
    assert capsys.readouterr().err == (
        "otel-celery: WARNING: OTEL_PYTHON_CELERY_BUCKET is not a setting of otel-celery and was ignored; "
        "did you mean OTEL_PYTHON_CELERY_BUCKETS?\n"
    )


def test_a_mistake_of_ours_is_one_line_and_the_worker_runs(
    app: Celery,
    start: Callable[[], Worker],
    enabled: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever goes wrong while we start, Celery starts."""
    del enabled

    class Broken:
        """Cannot be made."""

        def __init__(self, *_: Any) -> None:
            """Fail."""
            raise LookupError("no such room")

    monkeypatch.setattr("otel_celery.session.Session", Broken)
    instrument(app)
    start()
    assert capsys.readouterr().err == (
        "otel-celery: ERROR: could not start, metrics and spans are off: LookupError('no such room')\n"
    )


def test_an_error_without_a_text_is_said_by_its_class(
    app: Celery,
    start: Callable[[], Worker],
    enabled: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Such as the StopIteration of a lookup that found nothing: an empty sentence tells nobody anything."""
    del enabled
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setattr("otel_celery.trace.worker.WorkerTraces", Mock(side_effect=StopIteration))
    monkeypatch.setattr("otel_celery.trace.publisher.PublisherTraces", Mock(side_effect=StopIteration))
    instrument(app)
    assert f"ERROR: StopIteration; traces are off in process {os.getpid()}\n" in capsys.readouterr().err
    start()
    assert "ERROR: StopIteration; traces are off\n" in capsys.readouterr().err


# -- health ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "sentence"),
    [
        (FakeLevels(looped_at=None, stall=None), None),
        (FakeLevels(names=[]), "the worker consumes no queue"),
        (FakeLevels(names=[], is_consuming=False), "the worker has its connection back, and does not consume yet"),
        (FakeLevels(names=[], stall=100), "the worker consumes no queue"),
        (FakeLevels(is_up=False), "the worker has not begun to consume"),
        (FakeLevels(is_connected=False), "the connection to the broker is lost"),
        (FakeLevels(is_consuming=False), "the worker has its connection back, and does not consume yet"),
        (FakeLevels(is_draining=True), "the worker is shutting down"),
        (FakeLevels(is_up=False, is_connected=False, is_draining=True), "the worker is shutting down"),
        (FakeLevels(is_up=False, is_connected=False), "the worker has not begun to consume"),
    ],
)
def test_ready_or_the_sentence_why_not(levels: FakeLevels, sentence: str | None) -> None:
    """The first reason that holds is the one that is told."""
    assert WorkerHealth(levels).ready() == sentence


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [
        (0, None),
        (30, None),
        (31, "the event loop has not turned for 31 s"),
        (100, "the event loop has not turned for 100 s"),
    ],
)
def test_a_loop_that_stands_still_is_not_ready(seconds: float, sentence: str | None) -> None:
    """A worker that is connected but stuck shows after half a minute."""
    assert WorkerHealth(FakeLevels(stall=seconds)).ready() == sentence
