"""A process without a worker has its port and its push: health, process figures, counted errors, a strict end."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from otel_celery import catalogue, station
from otel_celery.lifecycle import Where, guarded
from otel_celery.settings.settings import EX_CONFIG, Port, Settings, read
from otel_celery.station import Station
from tests.integration.worker.harness import wait_until
from tests.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.otlp import Receiver


class Health:
    """The health of a process, as the test says."""

    ill: str | None = None
    busy: str | None = None

    def healthy(self) -> str | None:
        """Say why it has to be started again."""
        return self.ill

    def ready(self) -> str | None:
        """Say why it does not do its work."""
        return self.busy


@pytest.fixture
def opened() -> Iterator[Callable[[Settings, Health], Station]]:
    """Yield a function that makes stations, which are closed at the end."""
    made = []

    def make(settings: Settings, health: Health) -> Station:
        made.append(Station(settings, "celery-post", health, Where.QUEUES))
        return made[-1]

    yield make
    for each in made:
        each.close()


def started(before: list[threading.Thread]) -> list[threading.Thread]:
    """List our threads that were started since, and live."""
    return [each for each in threading.enumerate() if each.name.startswith("otel-celery") and each not in before]


def get(port: int, path: str = "/metrics") -> tuple[int, str]:
    """Ask the port."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def on(number: int, **more: object) -> Settings:
    """Make settings of a port on the loopback."""
    return Settings(Port(LOOPBACK, number), **more)  # type: ignore[arg-type]


def test_the_port_shows_readings_histograms_and_what_every_process_has(opened, caplog) -> None:
    """Readings and histograms are there under the catalogue's names, with target_info, process_* and our own errors."""
    caplog.set_level("INFO", "otel_celery")
    port = free_port()
    made = opened(on(port), Health())
    made.show({catalogue.WORKER_UP: lambda: [(1, {"worker": made.labels.clean("w\udcff")})]})
    made.histogram(catalogue.DURATION, {"worker": "w", "task_name": "t", "queue": "q"}).record(0.5)
    made.open()
    nothing: dict[str, None] = {}
    guarded(made.errors, Where.QUEUES, nothing.__getitem__, "nothing")
    status, text = get(port)
    assert (status, made.port) == (200, port)
    assert 'celery_worker_up{worker="w?"} 1.0' in text
    assert 'celery_task_duration_seconds_count{queue="q",task_name="t",worker="w"} 1.0' in text
    assert 'service_name="celery-post"' in text
    assert "celery_worker_name" not in text
    assert "\nprocess_resident_memory_bytes " in text
    assert 'otel_celery_internal_errors_total{where="queues"} 1.0' in text
    assert 'otel_celery_internal_errors_total{where="port"} 0.0' in text
    assert f"Prometheus metrics server started on port {port} for celery-post" in caplog.text


def test_a_reading_that_raises_costs_its_own_metric(opened) -> None:
    """The scrape goes on, and the exception is counted."""
    port = free_port()
    made = opened(on(port), Health())
    made.show({catalogue.WORKER_UP: lambda: [(1 // 0, {})], catalogue.POOL_SIZE: lambda: [(4, {"worker": "w"})]})
    made.open()
    text = get(port)[1]
    assert "celery_worker_up" not in text
    assert 'celery_worker_pool_size{worker="w"} 4.0' in text
    assert made.errors.counts[Where.LEVELS] == 1


def test_health_is_the_processs_own(opened) -> None:
    """Both paths answer 503 with the sentence of the process."""
    port, health = free_port(), Health()
    opened(on(port), health).open()
    assert get(port, "/-/healthy")[0] == get(port, "/-/ready")[0] == 200
    health.ill, health.busy = "it ticks no more", "the broker is away"
    assert get(port, "/-/healthy") == (503, "it ticks no more\n")
    assert get(port, "/-/ready") == (503, "the broker is away\n")


def test_a_taken_port_ends_a_strict_process_and_no_other(opened, caplog) -> None:
    """Strict: status 78. Otherwise it is said, and tried again until the port is free."""
    with socket.socket() as neighbour:
        neighbour.bind((LOOPBACK, 0))
        neighbour.listen()
        port = neighbour.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            opened(on(port, strict=True), Health()).open()
        assert ended.value.code == EX_CONFIG
        patient = opened(on(port), Health())
        patient.open()
    said = caplog.text
    assert f"port {port} cannot be opened for celery-post" in said
    assert "; the process ends (strict, status 78)" in said
    assert "; the process runs on, and opening it is tried again" in said
    wait_until(lambda: patient.port == port, "the port is open")


def test_a_mistake_in_the_environment_is_said(caplog) -> None:
    """It leaves a process without metrics, and ends a strict one."""
    assert station.read({"PROMETHEUS_PORT": "0x", "PROMETHEUS_ENABLED": "true"}, "celery-post") is None
    with pytest.raises(SystemExit):
        station.read({"PROMETHEUS_PORT": "0x", "PROMETHEUS_ENABLED": "1", "OTEL_PYTHON_CELERY_STRICT": "true"}, "x")
    said = caplog.text
    assert "metrics of celery-post are off" in said
    assert "the process ends (strict, status 78)" in said


def test_the_last_values_are_pushed_at_the_end(opened, receiver: Receiver) -> None:
    """Closing pushes once more, closes the port, and leaves no thread; a second close does nothing."""
    port = free_port()
    environ = {
        "OTEL_METRICS_EXPORTER": "prometheus,otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "PROMETHEUS_PORT": str(port),
    }
    before, began = threading.enumerate(), time.time()
    made = opened(read(environ), Health())
    made.show({catalogue.POOL_SIZE: lambda: [(4, {"worker": "w"})]})
    made.open()
    get(port)
    assert started(before)
    made.close()
    made.close()
    (point,) = receiver.points(catalogue.POOL_SIZE.name)
    assert (point.value, point.resource["service.name"]) == (4, "celery-post")
    assert receiver.points("process_resident_memory_bytes")
    (start,) = receiver.points(catalogue.START.name)
    assert began < start.value < time.time()
    wait_until(lambda: not started(before), "no thread is left")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((LOOPBACK, port))


@pytest.mark.filterwarnings("ignore:Using fork:DeprecationWarning")  # eventlet's, where another test has imported it
def test_a_forked_child_has_no_port_and_closes_nothing(opened) -> None:
    """The child's copy of the port is closed, its close does nothing, and the parent serves on."""
    port = free_port()
    made = opened(on(port), Health())
    made.show({catalogue.POOL_SIZE: lambda: [(4, {"worker": "w"})]})
    made.open()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        made.close()
        found = [family.name for family in made._metering.registry.collect()]
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as told:
        assert "celery_worker_pool_size" not in json.load(told)
    assert "celery_worker_pool_size" in get(port)[1]
