"""The port's life: opened after the pool has forked, tried again while it is taken, closed last of all."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.integration.worker import proc
from tests.integration.worker.harness import Scrape, wait_until
from tests.integration.worker.pairs import LOOP, OTHER_COLD, end, side_by_side
from tests.integration.worker.proxy import Proxy
from tests.integration.worker.rows import GREEN, POOLS
from tests.integration.worker.ways import EVERY, HOOK, LINE, errors, opened, pools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

EX_CONFIG = 78
STRICT = {"OTEL_PYTHON_CELERY_STRICT": "true"}
KEPT = 0.3
"""A rendering is kept for a quarter of a second."""
TICK = 0.02
"""The kernel dates a file by its last tick, of at most a hundredth of a second."""
DRAINING = "the worker is shutting down\n"


@contextlib.contextmanager
def taken(address: str = "127.0.0.1") -> Iterator[tuple[int, socket.socket]]:
    """Take a port, as another program would."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as holder:
        holder.bind((address, 0))
        holder.listen()
        yield holder.getsockname()[1], holder


def tasks_run(site: Site, worker: Worker, number: int = 3) -> None:
    """See that tasks are run, whatever became of the port."""
    before = worker.record()["finished succeed"]
    for _ in range(number):
        site.client.send_task("proj.succeed")
    wait_until(lambda: worker.record()["finished succeed"] == before + number, "tasks run")


# -- a port that is taken -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", EVERY)
def test_f21_a_taken_port_is_said_once_and_tried_again(site: Site, pool: str) -> None:
    """One ERROR line says it; tasks run and are counted, and once the port is free it is opened and said once."""
    with taken() as (port, _):
        worker = HOOK.start(site, pool, environment={"PROMETHEUS_PORT": str(port)})
        worker.port = port
        tasks_run(site, worker)
        time.sleep(2.5)  # two tries and more
        (line,) = errors(worker)
        for word in (f"port {port} ", "w@localhost", f"pid {worker.process.pid}", "PROMETHEUS_PORT", "tried again"):
            assert word in line
        assert opened(worker) == 0
    wait_until(lambda: opened(worker), "the port is opened", 5)
    worker.wait_ready()
    assert worker.settled().ends("proj.succeed") == {"success": 3}
    tasks_run(site, worker)
    assert worker.settled().ends("proj.succeed") == {"success": 6}
    assert worker.stop() == 0
    assert opened(worker) == 1
    assert len(errors(worker)) == 1


@pytest.mark.prefork
def test_half_a_localhost_is_a_taken_port(site: Site) -> None:
    """Where only ::1 is taken, 127.0.0.1 is not left open alone: a client may ask either."""
    with taken("::1") as (port, _):
        worker = HOOK.start(site, "prefork", environment={"PROMETHEUS_PORT": str(port)})
        worker.port = port
        wait_until(lambda: errors(worker), "the line is there")
        assert len(proc.listeners(port)) == 1  # ours who took it
    worker.wait_ready()
    assert len(proc.listeners(port)) == 2
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", EVERY)
def test_f21_a_taken_port_ends_a_strict_worker(site: Site, pool: str) -> None:
    """Under OTEL_PYTHON_CELERY_STRICT the ERROR line is said, and the worker ends with status 78."""
    with taken() as (port, _):
        worker = LINE.start(site, pool, environment={"PROMETHEUS_PORT": str(port), **STRICT})
        assert worker.process.wait(20) == EX_CONFIG
    (line,) = errors(worker)
    assert f"port {port} " in line
    assert "w@localhost" in line
    assert opened(worker) == 0


@pytest.mark.prefork
def test_f22_two_workers_never_share_a_port(site: Site) -> None:
    """The second of two workers says that the port is taken, and has it once the first has ended."""
    first = HOOK.start(site, "prefork", name="w1").wait_ready()
    second = HOOK.start(site, "prefork", name="w2", environment={"PROMETHEUS_PORT": str(first.port)})
    second.port = first.port
    wait_until(lambda: errors(second), "the line is there")
    assert first.scrape().labels("celery_worker_up", "worker") == {"w1@localhost"}
    assert first.stop() == 0
    wait_until(lambda: opened(second), "the port is opened", 5)
    assert second.scrape().labels("celery_worker_up", "worker") == {"w2@localhost"}
    assert second.stop() == 0
    assert opened(first) == opened(second) == 1


@pytest.mark.prefork
def test_a_worker_that_waits_for_its_port_ends_as_ever(site: Site) -> None:
    """A warm shutdown does not wait for a port that is still taken."""
    with taken() as (port, _):
        worker = HOOK.start(site, "prefork", environment={"PROMETHEUS_PORT": str(port)})
        tasks_run(site, worker)
        assert worker.stop(seconds=8) == 0
    assert len(errors(worker)) == 1


# -- closing last -----------------------------------------------------------------------------------------------------


class Look(NamedTuple):
    """What the port said at one moment."""

    at: float
    metrics: Scrape
    status: int
    sentence: str


class Follower(threading.Thread):
    """Asks a worker's port again and again, until it is closed."""

    def __init__(self, worker: Worker) -> None:
        """Begin."""
        super().__init__(daemon=True)
        self.worker = worker
        self.looks: list[Look] = []
        self.trouble: list[str] = []
        self.closed = 0.0
        """When the port was found closed, in Unix seconds."""
        self.start()

    def run(self) -> None:
        """Look, until nobody listens."""
        while proc.listeners(self.worker.port):
            try:
                _, text = self.worker.get("/metrics")
                self.looks.append(Look(time.time(), Scrape(text), *self.worker.get("/-/ready")))
            except OSError as error:
                self.closed = time.time()
                time.sleep(0.3)  # gevent closes when its hub next turns
                if proc.listeners(self.worker.port):
                    self.trouble.append(repr(error))
                return
            time.sleep(0.02)
        self.closed = time.time()


@pytest.mark.alone
@pytest.mark.parametrize("pool", EVERY)
def test_f09_the_port_closes_last(site: Site, pool: str) -> None:
    """From SIGTERM on the worker says that it drains, and answers until the running task has ended and is counted."""
    worker = HOOK.start(site, pool).wait_ready()
    site.client.send_task("proj.succeed", kwargs={"seconds": 3.0})
    wait_until(lambda: worker.record()["began succeed"], "the task runs")
    time.sleep(0.3)
    follower = Follower(worker)
    began = time.time()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(20) == 0
    follower.join(5)
    assert follower.trouble == []
    assert worker.record()["finished succeed"] == 1
    after = [look for look in follower.looks if look.at > began + 2 * KEPT]
    running = [look for look in after if look.metrics.value("celery_worker_tasks_active") == 1]
    assert len(running) >= 3
    if pool != "solo":  # whose main thread runs the task, and hears of the signal's meaning after it
        assert {(look.status, look.sentence) for look in after} == {(503, DRAINING)}
        assert {look.metrics.value("celery_worker_draining") for look in running} == {1}
    assert {look.metrics.value("celery_worker_up") for look in running} == {1}
    assert follower.closed > worker.record_path.stat().st_mtime - TICK
    last = follower.looks[-1]
    if pool in {"prefork", *GREEN}:  # the others end the moment their task has, and nobody comes to scrape in between
        assert last.metrics.ends("proj.succeed") == {"success": 1}
        assert last.metrics.value("celery_worker_tasks_active") == 0


HOWS = {
    "TERM": (signal.SIGTERM,),
    "INT": (signal.SIGINT,),
    "QUIT": (signal.SIGQUIT,),
    "TERM-twice": (signal.SIGTERM, signal.SIGQUIT),
}


PAIRS = [
    *(pytest.param("prefork", how, id=f"prefork-{how}", marks=pytest.mark.prefork) for how in HOWS),
    *(
        pytest.param(*each.values, "TERM", id=f"{each.id or each.values[0]}-TERM", marks=each.marks)
        for each in EVERY
        if each.values != ("prefork",)
    ),
    pytest.param("gevent", "QUIT", id="gevent-QUIT", marks=pytest.mark.gevent),
]
"""A pair of workers for each signal on prefork, and for a warm end on each other pool; greenlets end cold too."""


@pytest.mark.alone
@pytest.mark.parametrize(("pool", "how"), PAIRS)
def test_f10_a_worker_ends_as_one_without_the_library(site: Site, pool: str, how: str) -> None:
    """Warm or cold, with a task that runs and under constant scraping, status and time are those of a bare worker."""
    bare, worker = side_by_side(site, pool, "succeed", 4.0 if how == "TERM-twice" else 1.5)
    follower = Follower(worker)
    expected, found = end([bare, worker], *HOWS[how])
    follower.join(5)
    assert expected.status is not None, "even the bare worker hangs"
    if how == "TERM-twice":  # where the second one finds Celery is chance: bare workers end with either, too
        assert found.status in {0, 1}
    else:
        assert found.status == expected.status
    assert found.seconds < expected.seconds + (0.5 if how == "TERM" else LOOP)
    assert proc.sockets(worker.port).keys().isdisjoint(proc.listeners(worker.port))
    assert bare.record() == worker.record()
    assert errors(worker) == []


@pytest.mark.alone
@pytest.mark.prefork
@pytest.mark.parametrize("kind", OTHER_COLD)
def test_f10_other_cold_shutdowns(site: Site, kind: str) -> None:
    """REMAP_SIGTERM and a soft shutdown end a worker as they end one without the library."""
    how, options = OTHER_COLD[kind]
    bare, worker = side_by_side(site, "prefork", "endless", 20.0, **options)
    expected, found = end([bare, worker], how)
    assert found.status == expected.status
    assert found.status is not None, "even the bare worker hangs"
    assert found.seconds < expected.seconds + LOOP
    assert proc.listeners(worker.port) == set()
    assert worker.record()["finished endless"] == 0


# -- while tasks run --------------------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("pool", pools(*POOLS))
def test_f43_the_port_answers_while_tasks_sleep(site: Site, pool: str) -> None:
    """While every slot is taken, on solo the main thread itself, the port answers within a second, and tells of it."""
    slots = 1 if pool == "solo" else 3
    worker = HOOK.start(site, pool, concurrency=slots).wait_ready()
    for _ in range(slots):
        site.client.send_task("proj.succeed", kwargs={"seconds": 4.0})
    wait_until(lambda: worker.record()["began succeed"] == slots, "the tasks run")
    slowest = 0.0
    for _ in range(10):
        time.sleep(0.1)
        began = time.monotonic()
        _, text = worker.get("/metrics")
        slowest = max(slowest, time.monotonic() - began)
        assert Scrape(text).value("celery_worker_tasks_active") == slots
        assert worker.get("/-/healthy") == (200, "healthy\n")
    assert slowest < 1
    assert worker.record()["finished succeed"] == 0, "the tasks should still have slept"
    assert worker.settled().ends("proj.succeed") == {"success": slots}
    assert worker.stop() == 0


# -- the broker -------------------------------------------------------------------------------------------------------
# Not on gevent: there kombu keeps the unpatched sleep, with or without this library, and blocks the hub while it waits
# to connect again.


@pytest.mark.parametrize("pool", pools("prefork", "threads", "eventlet"))
def test_f14_no_broker_at_start(site: Site, pool: str) -> None:
    """Without a broker the port is open, healthy and not ready, and says why; with one the worker becomes ready."""
    with Proxy.to(site.broker) as proxy:
        proxy.cut()
        worker = HOOK.start(site, pool, environment={"T_BROKER": proxy.url})
        wait_until(lambda: opened(worker), "the port is open")
        assert worker.get("/-/healthy") == (200, "healthy\n")
        assert worker.get("/-/ready") == (503, "the worker has not begun to consume\n")
        scrape = worker.scrape()
        assert scrape.value("celery_worker_up") == 0
        assert scrape.has("celery_worker_up", worker="w@localhost")
        assert scrape.value("celery_worker_broker_connected") == 0
        proxy.mend()
        worker.wait_ready()
        tasks_run(site, worker)
        scrape = worker.settled()
        assert scrape.value("celery_worker_up") == 1
        assert scrape.value("celery_worker_broker_connected") == 1
        assert scrape.value("celery_worker_broker_reconnects_total") == 0
        assert worker.stop() == 0


@pytest.mark.parametrize("pool", pools("prefork", "threads", "eventlet"))
def test_f13_the_broker_goes_while_a_task_runs(site: Site, pool: str) -> None:
    """The port says that the connection is lost; the task is counted once, and the reconnection once."""
    with Proxy.to(site.broker) as proxy:
        worker = HOOK.start(site, pool, backend=False, environment={"T_BROKER": proxy.url}).wait_ready()
        site.client.send_task("proj.succeed", kwargs={"seconds": 2.0})
        wait_until(lambda: worker.record()["began succeed"], "the task runs")
        time.sleep(0.3)
        proxy.cut()
        wait_until(lambda: worker.get("/-/ready")[0] == 503, "it is not ready")
        assert worker.get("/-/ready") == (503, "the connection to the broker is lost\n")
        assert worker.scrape().value("celery_worker_broker_connected") == 0
        assert worker.scrape().value("celery_worker_up") == 1
        time.sleep(2)
        assert worker.scrape().value("celery_worker_broker_connected") == 0
        proxy.mend()
        worker.wait_ready()
        tasks_run(site, worker)
        scrape = worker.settled()
        assert scrape.ends("proj.succeed") == {"success": 4}
        assert scrape.balances(), scrape.books()
        assert scrape.value("celery_worker_broker_connected") == 1
        assert scrape.value("celery_worker_broker_reconnects_total") == 1
        assert worker.stop() == 0
        assert opened(worker) == 1


# -- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", EVERY)
def test_f11_a_killed_worker_leaves_its_port(site: Site, pool: str) -> None:
    """After SIGKILL the same port is bound at once by the next worker, whose counters begin at zero."""
    first = HOOK.start(site, pool, name="w1").wait_ready()
    tasks_run(site, first)
    with socket.create_connection(("127.0.0.1", first.port)) as client:  # a scraper that stays connected
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        orphans = proc.children(first.process.pid)
        first.process.kill()
        first.process.wait()
        began = time.monotonic()
        second = HOOK.start(site, pool, name="w2", environment={"PROMETHEUS_PORT": str(first.port)})
        second.port = first.port
        second.wait_ready()
        assert errors(second) == []
        client.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            while client.recv(65536):  # its end of the stream comes, whoever else lives
                pass
        proc.kill(orphans)
        assert time.monotonic() - began < 15
    assert second.settled().value("celery_task_received_total") == 0
    tasks_run(site, second)
    assert second.settled().ends("proj.succeed") == {"success": 3}
    assert second.stop() == 0
