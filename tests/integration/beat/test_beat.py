"""Real beats, by the schedulers of Celery, of django-celery-beat and of RedBeat: counted, served, probed and ended."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_celery.settings.settings import EX_CONFIG
from tests.integration.beat.conftest import PROJECT
from tests.integration.worker.harness import wait_until
from tests.integration.worker.proxy import Proxy
from tests.otlp import http_receiver
from tests.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from tests.integration.beat.conftest import Beat, Yard

SENT, FAILED = "celery_beat_tasks_sent_total", "celery_beat_send_failures_total"
PUBLISHED, UNPUBLISHED = "celery_task_published_total", "celery_task_publish_failures_total"
DJANGO = "tests.integration.beat.django_proj"
REDBEAT = "redbeat.RedBeatScheduler"
CLOSED = ("invalid operation on closed shelf", "Cannot operate on a closed database")
"""How a beat ends with 1 if SIGTERM finds it at its schedule: Celery's handler closes what was interrupted there."""


def begin(yard: Yard, scheduler: str, *arguments: str, **more: str) -> Beat:
    """Start a beat, or a worker with one, with this scheduler."""
    if scheduler == "django":
        pytest.importorskip("django_celery_beat")
        yard.migrate()
        return yard.start("--scheduler", "django", *arguments, app=DJANGO, **more)
    if scheduler == "redbeat":
        pytest.importorskip("redbeat")
        return yard.start("--scheduler", REDBEAT, *arguments, **more)
    if scheduler == "stuck":
        return yard.start("--scheduler", f"{PROJECT}.Stuck", *arguments, **more)
    return yard.start(*arguments, **more)


@pytest.mark.parametrize("scheduler", ["celery", "django", "redbeat"])
def test_every_figure_is_what_happened(yard: Yard, scheduler: str) -> None:
    """What is sent lies at the broker; a task that cannot be sent is a failure; one of the night is there at zero."""
    beat = begin(yard, scheduler)
    beat.wait_for(SENT, 3, task_name="proj.often")
    beat.wait_for(FAILED, 2, task_name="proj.refused")
    before = yard.queued
    scrape = beat.scrape()
    sent = scrape.value(SENT, task_name="proj.often")
    assert before <= sent <= yard.queued
    assert before <= scrape.value(PUBLISHED, task_name="proj.often", queue="celery") <= yard.queued
    assert scrape.labels(PUBLISHED, "task_name") == {"proj.often"}
    assert scrape.labels(SENT, "task_name") == {"proj.often", "proj.refused", "proj.nightly"}
    assert scrape.value(SENT) == sent
    assert scrape.value(FAILED) == scrape.value(FAILED, task_name="proj.refused")
    assert scrape.value("celery_beat_entries") == 3
    assert 0 <= time.time() - scrape.value("celery_beat_last_tick_timestamp_seconds") < 60
    assert scrape.value("celery_beat_lag_seconds_count", task_name="proj.often") == sent
    assert scrape.value("celery_beat_lag_seconds_sum", task_name="proj.often") < 60 * sent
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert scrape.has("process_resident_memory_bytes")
    assert [beat.get(path) for path in ("/-/healthy", "/-/ready")] == [(200, "healthy\n"), (200, "ready\n")]
    page = beat.get("/")[1]
    assert page.startswith("celery-beat: ready\nlast tick: ")
    assert "\ntask " in page
    assert f"Prometheus metrics server started on port {beat.port} for celery-beat" in beat.log
    assert beat.ended() == 0 or any(each in beat.log for each in CLOSED), beat.log
    assert beat.answers("/-/healthy") == (0, "")


def test_a_broker_that_is_away_at_the_start(yard: Yard) -> None:
    """Beat waits for it inside its first tick: alive, not ready, and each attempt is a failure of what waits."""
    with Proxy.to(yard.site.broker) as proxy:
        proxy.cut()
        beat = yard.start(T_BROKER=proxy.url, T_PATIENCE="4", T_LOOP="1")
        beat.wait_for(FAILED, 2)
        assert beat.get("/-/ready") == (503, "beat cannot reach the broker\n")
        assert beat.get("/-/healthy")[0] == 200
        assert time.time() - beat.scrape().value("celery_beat_last_tick_timestamp_seconds") < 60
        assert beat.scrape().value(SENT) == 0
        proxy.mend()
        beat.wait_for(SENT, 1, task_name="proj.often")
        wait_until(lambda: beat.get("/-/ready")[0] == 200, "beat is ready")


def test_a_broker_that_goes(yard: Yard) -> None:
    """What cannot be sent is a failure, beat goes on ticking, and sends again once the broker is back."""
    with Proxy.to(yard.site.broker) as proxy:
        beat = yard.start(T_BROKER=proxy.url)
        sent = beat.wait_for(SENT, 1, task_name="proj.often")
        proxy.cut()
        beat.wait_for(FAILED, 2, task_name="proj.often")
        beat.wait_for(UNPUBLISHED, 1, task_name="proj.often", queue="celery")
        assert beat.get("/-/healthy")[0] == 200
        proxy.mend()
        beat.wait_for(SENT, sent + 2, task_name="proj.often")
        assert beat.get("/-/ready")[0] == 200


def test_ticks_that_stop(yard: Yard) -> None:
    """A tick that hangs turns both probes red, with the reason; a scrape goes on, and all is well when it ends."""
    stuck = yard.site.directory / "stuck"
    beat = yard.start("-S", f"{PROJECT}.Stuck", T_PATIENCE="1", T_LOOP="1")
    beat.wait_for(SENT)
    assert beat.get("/-/healthy")[0] == 200
    stuck.touch()
    wait_until(lambda: beat.get("/-/healthy")[0] == 503, "beat is ill")
    status, why = beat.get("/-/ready")
    assert status == 503
    assert why.startswith("beat has not ticked for ")
    assert beat.scrape().value("celery_beat_entries") == 3
    stuck.unlink()
    wait_until(lambda: beat.get("/-/healthy")[0] == 200, "beat is well again")


BIN = Path(sys.executable).parent
LAUNCHED = f"{BIN}/opentelemetry-instrument {BIN}/celery"


def test_a_mistake(yard: Yard) -> None:
    """It is one sentence, and beat runs without metrics; a strict one ends before it has sent anything."""
    mistake = {"OTEL_PYTHON_CELERY_BEAT_PORT": "x"}
    strict = yard.start(**mistake, OTEL_PYTHON_CELERY_STRICT="true")
    assert strict.process.wait(60) == EX_CONFIG
    assert "; the process ends (strict, status 78)" in strict.log
    assert yard.queued == 0
    beat = yard.start(**mistake)
    wait_until(lambda: yard.queued, "something is sent")
    assert beat.log.count("otel-celery: OTEL_PYTHON_CELERY_BEAT_PORT='x' is not allowed") == 1
    assert beat.answers("/metrics") == (0, "")


def test_a_port_that_is_taken(yard: Yard) -> None:
    """It is said, with what to do, and opened once it is free; a strict beat ends before it has sent anything.

    Here the app's settings name the hook, instead of a line of code.
    """
    taken, hook = free_port(), {"T_INSTRUMENT": "0", "T_IMPORT": "otel_celery.hook"}
    with socket.create_server((LOOPBACK, taken)):
        strict = yard.start(**hook, OTEL_PYTHON_CELERY_BEAT_PORT=str(taken), OTEL_PYTHON_CELERY_STRICT="true")
        assert strict.process.wait(60) == EX_CONFIG
        assert yard.queued == 0
        beat = yard.start(**hook, OTEL_PYTHON_CELERY_BEAT_PORT=str(taken))
        wait_until(lambda: yard.queued, "something is sent")
        assert f"port {taken} cannot be opened for celery-beat" in beat.log
    beat.port = taken
    beat.wait_for(SENT)


EMBEDDED = ("-B", "-c", "1", "-n", "w@localhost", "--without-gossip", "--without-mingle", "-P")


@pytest.mark.parametrize(
    ("scheduler", "pool", "method"),
    [
        ("celery", "prefork", "fork"),
        ("celery", "prefork", "spawn"),
        ("celery", "threads", "fork"),
        ("celery", "solo", "fork"),
        ("django", "prefork", "fork"),
        ("django", "solo", "fork"),
        ("redbeat", "prefork", "fork"),
        ("redbeat", "threads", "fork"),
    ],
)
def test_embedded_in_a_worker(yard: Yard, scheduler: str, pool: str, method: str) -> None:
    """The worker's port is the worker's, and beat, in a process of its own, has the one that is named for it.

    A spawned one knows nothing of the app's modules, and so not of ``instrument(app)``: there the launcher is the way.
    """
    port = free_port()
    launcher = {"launcher": LAUNCHED} if method == "spawn" else {}
    environment = {"T_START_METHOD": method, "OTEL_METRICS_EXPORTER": "none", "OTEL_PYTHON_CELERY_BEAT_PORT": str(port)}
    worker = begin(yard, scheduler, *EMBEDDED, pool, command="worker", **launcher, **environment)
    before = worker.wait_for("celery_task_received_total", 2, task_name="proj.often")
    assert not worker.scrape().has("celery_beat_entries")
    own, worker.port = worker.port, port
    if method == "fork":  # a spawned beat knows no task's class, and sends by name what would refuse
        worker.wait_for(FAILED, 1, task_name="proj.refused")
    worker.wait_for("celery_beat_entries", 3)
    scrape = worker.scrape()
    sent = scrape.value(SENT, task_name="proj.often")
    assert scrape.value("celery_beat_lag_seconds_count", task_name="proj.often") == sent
    assert 0 <= time.time() - scrape.value("celery_beat_last_tick_timestamp_seconds") < 60
    published = scrape.value(PUBLISHED, task_name="proj.often", queue="celery")
    assert before <= published
    assert abs(published - sent) <= 1  # each is counted for itself, and one may lie between
    assert worker.get("/-/ready")[0] == 200
    assert not scrape.has("celery_worker_up")
    worker.port = own
    worker.wait_for("celery_task_received_total", max(sent, published), task_name="proj.often")
    assert worker.scrape().value(PUBLISHED) == 0
    assert worker.stop() == 0
    worker.port = port
    wait_until(lambda: worker.answers("/-/healthy") == (0, ""), "beat is gone too")


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_embedded_without_a_port(yard: Yard, pool: str) -> None:
    """The worker has the port, and counts what beat publishes; that beat has none is said once, with what to set."""
    worker = begin(yard, "stuck", *EMBEDDED, pool, command="worker")
    worker.wait_for("celery_task_succeeded_total", 2, task_name="proj.often")
    (yard.site.directory / "stuck").touch()

    def is_still() -> bool:
        scrape = worker.scrape()
        published = scrape.value(PUBLISHED, worker="w@localhost", task_name="proj.often", queue="celery")
        return published == scrape.value("celery_task_succeeded_total") > 0

    wait_until(is_still, "all that beat has published has run, and is counted")
    (yard.site.directory / "stuck").unlink()
    assert worker.log.count("set OTEL_PYTHON_CELERY_BEAT_PORT") == 1
    assert worker.get("/-/ready")[0] == 200


@pytest.mark.parametrize("command", ["beat", "worker"])
def test_it_is_pushed_and_traced(yard: Yard, command: str) -> None:
    """Over OTLP the last values, and the spans of what was sent, arrive as beat ends, also where a worker ends it."""
    with http_receiver() as receiver:
        beat = yard.start(
            *((*EMBEDDED, "prefork") if command == "worker" else ()),
            command=command,
            PROMETHEUS_ENABLED="",
            OTEL_METRICS_EXPORTER="otlp",
            OTEL_TRACES_EXPORTER="otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
            OTEL_METRIC_EXPORT_INTERVAL="600000",
            OTEL_BSP_SCHEDULE_DELAY="600000",
        )
        wait_until(lambda: beat.log.count("Sending due task often") >= 6, "the first span has set tracing up")
        assert beat.stop() == 0
        sent = receiver.latest("celery.beat.tasks.sent", task_name="proj.often")
        assert receiver.latest("celery.task.published", task_name="proj.often", queue="celery") == sent
        assert len(receiver.spans("apply_async/proj.often")) == sent >= 1
