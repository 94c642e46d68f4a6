"""The app under test: tasks that make spans of their own, and publish each other."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

from celery import Celery, group, signals
from celery.utils.log import get_task_logger
from opentelemetry import baggage, trace

env = os.environ.get
app = Celery("proj", broker=env("T_BROKER", "memory://"), backend=env("T_BACKEND") or None)
app.conf.update(
    worker_lost_wait=1.0,
    broker_connection_retry_on_startup=True,
    task_acks_late=env("T_ACKS_LATE") == "1",
    worker_prefetch_multiplier=1,
)
if env("T_START_METHOD"):
    app.conf.worker_pool_start_method = env("T_START_METHOD")
    app.conf.worker_proc_alive_timeout = 60.0  # Celery kills a child that is slower, and four of them import at once
if env("T_LINE"):
    from otel_celery import instrument

    instrument(app)


def own_instrumentation(**_):
    """Do what contrib's page says: a provider of the application's own, and its own CeleryInstrumentor."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "its-own"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    if env("T_OWN") != "provider":
        CeleryInstrumentor().instrument()


def own_logfire():
    """Do what logfire's page says; it sends by OTLP because the environment names an endpoint."""
    import logfire

    logfire.configure(send_to_logfire=False, console=False, service_name="its-own", inspect_arguments=False)
    logfire.instrument_celery()


if env("T_OWN") == "logfire":
    own_logfire()
elif env("T_OWN") == "child":
    signals.worker_process_init.connect(own_instrumentation, weak=False)
elif env("T_OWN"):
    own_instrumentation()

if env("T_UNINSTRUMENT"):
    signals.worker_ready.connect(lambda **_: instrument(app).uninstrument(), weak=False)

logger = get_task_logger(__name__)


def inner(name: str = "inner"):
    """Make a span such as a library's, with a tracer of the global provider."""
    return trace.get_tracer("a-library").start_as_current_span(name)


@app.task(name="t.plain")
def plain(*_, seconds=0.0):
    """Return, with a span inside that says which baggage came along."""
    with inner() as span:
        span.set_attribute("baggage.tenant", str(baggage.get_baggage("tenant")))
        logger.info("inside %s", trace.format_trace_id(span.get_span_context().trace_id))
        time.sleep(seconds)
    return 1


@app.task(name="t.fail")
def fail():
    """Raise."""
    raise ValueError("as asked")


@app.task(name="t.retry", bind=True, max_retries=2, default_retry_delay=0)
def retry(self, *_, countdown=0):
    """Ask to be retried once, then return."""
    if not self.request.retries:
        raise self.retry(countdown=countdown)


@app.task(name="t.replace", bind=True)
def replace(self):
    """Run as another task."""
    raise self.replace(plain.si())


@app.task(name="t.parent")
def parent():
    """Publish a task from a task."""
    with inner():
        plain.delay()


@app.task(name="t.kill")
def kill(*_):
    """Make a span, have it sent, then die of SIGKILL."""
    with inner():
        pass
    _sent()
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="t.exit")
def leave():
    """Leave the process by SystemExit."""
    with inner():
        pass
    _sent()
    sys.exit(3)


@app.task(name="t.hard", time_limit=4)
def hard():
    """Run into the hard time limit, with a span inside that was sent before.

    The limit leaves a busy machine the time to send: what a child has not sent dies with it.
    """
    with inner():
        pass
    _sent()
    time.sleep(30)


@app.task(name="t.soft", soft_time_limit=1)
def soft():
    """Run into the soft time limit."""
    time.sleep(30)


@app.task(name="t.endless")
def endless(seconds=60.0):
    """Be terminated while it runs."""
    with inner():
        pass
    _sent()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.05)


@app.task(name="t.errback")
def errback():
    """Be called for a task that failed."""
    with inner("errback-inner"):
        pass


@app.task(name="t.pid")
def pid():
    """Tell in which process it runs."""
    return os.getpid()


def _sent() -> None:
    """Send what has ended so far: what a child has not sent dies with it."""
    with contextlib.suppress(AttributeError):
        trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]
    time.sleep(0.3)


def walk():
    """Make a chain with a chord in it, one of whose tasks is retried, and whose last task's child is killed.

    The retry takes its time, so that it is what ends the chord.
    """
    return plain.s() | group(plain.s(), retry.s(countdown=1)) | plain.s() | kill.s().on_error(errback.si())
