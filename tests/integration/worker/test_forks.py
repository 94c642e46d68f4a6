"""Forks beside a live port: no child keeps anything of it, none hangs, and nothing is lost however many there are."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker import proc
from tests.integration.worker.harness import Scrape, wait_until
from tests.integration.worker.ways import HOOK, INSTRUMENT, LINE, errors, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

pytestmark = pytest.mark.prefork

FORKS = 300


class Scraper(threading.Thread):
    """Scrapes a worker without a pause, over one connection or a new one each time, until it is stopped."""

    def __init__(self, worker: Worker, *, keep_alive: bool = False) -> None:
        """Begin."""
        super().__init__(daemon=True)
        self._port = worker.port
        self._keep_alive = keep_alive
        self._over = threading.Event()
        self.bodies: list[bytes] = []
        self.slowest = 0.0
        self.trouble: list[str] = []
        self.start()

    def run(self) -> None:
        """Scrape; whatever goes wrong is written down."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._over.is_set():
            began = time.monotonic()
            try:
                connection.request("GET", "/metrics")
                answer = connection.getresponse()
                self.bodies.append(answer.read())
                if answer.status != 200:
                    self.trouble.append(repr(self.bodies[-1]))
            except (OSError, http.client.HTTPException) as error:
                self.trouble.append(repr(error))
                connection.close()
            self.slowest = max(self.slowest, time.monotonic() - began)
            if not self._keep_alive:
                connection.close()
            self._over.wait(0.005)
        connection.close()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self.join(15)


@contextlib.contextmanager
def scraped(worker: Worker) -> Iterator[list[Scraper]]:
    """Have a worker scraped without a pause by two clients, one of which keeps its connection."""
    scrapers = [Scraper(worker), Scraper(worker, keep_alive=True)]
    try:
        yield scrapers
    finally:
        for scraper in scrapers:
            scraper.stop()


def assert_never_decreases(scraper: Scraper, name: str) -> None:
    """See that a counter only rose from one scrape to the next."""
    values = [Scrape(body.decode()).value(name) for body in scraper.bodies[::10]]
    assert values == sorted(values)


class Holders(threading.Thread):
    """Looks again and again for a child that holds a socket at the worker's port for longer than a moment."""

    def __init__(self, worker: Worker) -> None:
        """Begin."""
        super().__init__(daemon=True)
        self._worker = worker
        self._over = threading.Event()
        self.found: set[int] = set()
        self.watched: set[int] = set()
        self.start()

    def run(self) -> None:
        """Look; a child is given a moment between its birth and its first line."""
        while not self._over.is_set():
            children = proc.children(self._worker.process.pid)
            suspects = proc.holders(children, self._worker.port)
            self.watched |= set(children)
            if suspects:
                time.sleep(0.1)
                self.found |= proc.holders(list(suspects), self._worker.port)
            self._over.wait(0.02)

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self.join(5)


def send(site: Site, number: int, seconds: float = 0.0, name: str = "succeed") -> None:
    """Publish tasks."""
    for _ in range(number):
        site.client.send_task(f"proj.{name}", kwargs={"seconds": seconds} if seconds else {})


def wait_for_ends(worker: Worker, number: int, seconds: float = 60) -> None:
    """Wait until so many tasks have ended."""
    wait_until(lambda: worker.scrape().value("celery_tasks_total") >= number, f"{number} ends", seconds)


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_f37_three_hundred_forks_under_constant_scraping(site: Site) -> None:
    """A child for each of 300 tasks, while two clients scrape: each is counted once, and nothing hangs or grows."""
    worker = HOOK.start(site, "prefork", concurrency=16, arguments=("--max-tasks-per-child", "1")).wait_ready()
    worker.scrape()
    before = len(proc.descriptors(worker.process.pid))
    threads = proc.threads(worker.process.pid)
    holders = Holders(worker)
    with scraped(worker) as scrapers:
        send(site, FORKS)
        # Celery now and then hands a task to a child that is about to go, and gives it to another seconds later.
        wait_for_ends(worker, FORKS, 150)
    holders.stop()
    scrape = worker.settled()
    assert scrape.ends("proj.succeed") == {"success": FORKS}
    assert worker.record()["finished succeed"] == FORKS
    for name in (
        "received_total",
        "started_total",
        "succeeded_total",
        "duration_seconds_count",
        "runtime_seconds_count",
    ):
        assert scrape.value(f"celery_task_{name}") == FORKS
    assert scrape.balances(), scrape.books()
    recycled = "celery_worker_process_exits_total"
    wait_until(lambda: worker.scrape().value(recycled, reason="recycled") >= FORKS, "each child's end is counted", 10)
    assert worker.scrape().value(recycled) == FORKS
    assert [scraper.trouble for scraper in scrapers] == [[], []]
    assert min(len(scraper.bodies) for scraper in scrapers) > 100
    assert max(scraper.slowest for scraper in scrapers) < 2
    for scraper in scrapers:
        assert_never_decreases(scraper, "celery_tasks_total")
        assert_never_decreases(scraper, recycled)
    assert (holders.found, len(holders.watched) > 50) == (set(), True)
    wait_until(lambda: len(proc.descriptors(worker.process.pid)) <= before, "no descriptor is left over", 10)
    assert proc.threads(worker.process.pid) <= threads
    wait_until(lambda: len(proc.children(worker.process.pid)) == 16, "the pool is whole")
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert "a fork waited" not in worker.log.lower()
    assert worker.stop() == 0


def test_f38_autoscale_up_and_down_under_constant_scraping(site: Site) -> None:
    """The pool grows and shrinks; the gauge follows, no child keeps a socket, and each task is counted once."""
    environment = {"AUTOSCALE_KEEPALIVE": "1"}
    worker = HOOK.start(site, "prefork", arguments=("--autoscale", "6,1"), environment=environment).wait_ready()
    wait_until(lambda: worker.scrape().value("celery_worker_pool_size") == 1, "the pool is small")
    holders = Holders(worker)
    with scraped(worker) as scrapers:
        for wave in (1, 2):
            send(site, 18, 0.6)
            wait_until(lambda: worker.scrape().value("celery_worker_pool_size") >= 5, "the pool grows")
            wait_for_ends(worker, 18 * wave)
            wait_until(lambda: worker.scrape().value("celery_worker_pool_size") == 1, "the pool shrinks")
    holders.stop()
    scrape = worker.settled()
    assert scrape.ends("proj.succeed") == {"success": 36}
    assert scrape.balances(), scrape.books()
    assert [scraper.trouble for scraper in scrapers] == [[], []]
    assert (holders.found, len(holders.watched) >= 10) == (set(), True)
    wait_until(lambda: len(proc.children(worker.process.pid)) == 1, "the children that were too many are gone")
    gone = len(holders.watched) - 1
    wait_until(lambda: worker.scrape().value("celery_worker_process_exits_total") == gone, f"{gone} exits are counted")
    assert worker.stop() == 0


@pytest.mark.parametrize("way", [LINE, HOOK, INSTRUMENT], ids=str)
def test_f41_no_child_holds_the_port(site: Site, way) -> None:
    """Neither the first children nor one forked later holds the listening socket or a client's connection."""
    worker = way.start(site, "prefork", concurrency=2, arguments=("--max-tasks-per-child", "2")).wait_ready()
    with socket.create_connection(("127.0.0.1", worker.port)) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"  # and stays connected
        first = set(proc.children(worker.process.pid))
        send(site, 12)
        wait_for_ends(worker, 12)
        wait_until(lambda: first.isdisjoint(proc.children(worker.process.pid)), "all children are new")
        wait_until(lambda: len(proc.children(worker.process.pid)) == 2, "the pool is whole")
        time.sleep(0.3)
        states = set(proc.sockets(worker.port).values())
        assert {proc.LISTEN, "01"} <= states  # or there would be nothing to hold
        assert proc.holders([worker.process.pid], worker.port) == {worker.process.pid}
        assert proc.holders(proc.children(worker.process.pid), worker.port) == set()
    assert worker.stop() == 0


def test_f41_the_port_is_free_while_orphans_live(site: Site) -> None:
    """After a SIGKILL of the main process its port is free at once and clients see the end, though forks of it live."""
    worker = HOOK.start(
        site, "prefork", app="tests.integration.worker.proj_orphan", arguments=("--max-tasks-per-child", "1")
    ).wait_ready()
    send(site, 4)
    wait_for_ends(worker, 4)  # so that the next children were forked beside an open port
    with socket.create_connection(("127.0.0.1", worker.port)) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        send(site, 2)  # children forked while the connection stands
        wait_for_ends(worker, 6)
        results = [site.client.send_task("proj.leave_behind") for _ in range(2)]
        orphans = [result.get(timeout=20) for result in results]
        worker.process.kill()
        worker.process.wait()
        with socket.socket() as next_one:
            next_one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            next_one.bind(("127.0.0.1", worker.port))
            next_one.listen()
        client.settimeout(3)
        with contextlib.suppress(ConnectionResetError):
            while client.recv(65536):
                pass
        assert all(proc.descriptors(pid) for pid in orphans), "who outlived the worker proves it"
    proc.kill(orphans)


def test_f40_what_a_child_does_to_the_provider_stays_there(site: Site, tmp_path: Path) -> None:
    """A task that flushes, collects, uninstruments and shuts the provider down in its child harms only that child."""
    environment = {"T_SEEN": str(tmp_path / "w"), "T_GO": str(tmp_path / "go")}
    worker = HOOK.start(
        site, "prefork", app="tests.integration.worker.proj_provider", environment=environment
    ).wait_ready()
    with scraped(worker) as scrapers:
        results = [site.client.send_task("proj.meddle") for _ in range(6)]
        pids = {result.get(timeout=20) for result in results}
        send(site, 6)
        wait_for_ends(worker, 12)
    assert worker.process.pid not in pids
    assert [scraper.trouble for scraper in scrapers] == [[], []]
    scrape = worker.settled()
    assert scrape.ends("proj.meddle") == {"success": 6}
    assert scrape.ends("proj.succeed") == {"success": 6}
    assert worker.stop() == 0
    assert opened(worker) == 1
    assert errors(worker) == []


def test_f39_forks_beside_a_scrape_that_takes_its_time(site: Site, tmp_path: Path) -> None:
    """Children forked while a slow metric of the application is being read run their tasks, and record on their own."""
    environment = {"T_SEEN": str(tmp_path / "w"), "T_GO": str(tmp_path / "go"), "T_SLOW": "0.2"}
    worker = HOOK.start(
        site,
        "prefork",
        app="tests.integration.worker.proj_provider",
        environment=environment,
        arguments=("--max-tasks-per-child", "1"),
    ).wait_ready()
    with scraped(worker) as scrapers:
        send(site, 30, name="record")
        wait_for_ends(worker, 30)
    scrape = worker.settled()
    assert scrape.ends("proj.record") == {"success": 30}
    assert [scraper.trouble for scraper in scrapers] == [[], []]
    assert scrape.value("app_slow") == 1
    assert worker.stop() == 0
    assert "a fork waited" not in worker.log.lower()
