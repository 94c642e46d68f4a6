"""Forking beside a port that is being scraped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from otel_celery.forks import PATIENCE, ForkGate
from otel_celery.settings.settings import Port
from tests.services import free_port
from tests.unit.interrupt import Interrupter

LOCKED = """
import signal, threading, time
from otel_celery.serve import exposition
exposition.MAX_AGE = 0.0  # every scrape renders, and most of the time one does
class Locked:
    lock = threading.Lock()
    def collect(self):
        with self.lock:
            time.sleep(0.003)
        return []
def descriptors():
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return [name for name in found if name.startswith(("socket:", "anon_inode:"))]
"""

FORKING = (
    LOCKED
    + """
registry.register(Locked())
before = descriptors()
endpoint = start()
tell(port=endpoint.port)
sys.stdin.readline()
longest, ends = 0.0, []
for _ in range(150):
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        signal.alarm(5)
        list(registry.collect())
        endpoint.close()
        os._exit(0 if descriptors() == before else 3)
    longest = max(longest, time.monotonic() - begun)
    ends.append(os.waitpid(pid, 0)[1])
tell(ends=sorted(set(ends)), longest=longest)
sys.stdin.readline()
"""
)


def scrape_until(done: threading.Event, port: int, statuses: list[int]) -> None:
    """Scrape in a loop."""
    while not done.is_set():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=8) as response:
            statuses.append(response.status)


def test_forks_under_constant_scraping(script) -> None:
    """Of 150 children forked under constant scraping none hangs, and none keeps a socket or a selector."""
    worker = script(FORKING)
    port, done = worker.hear()["port"], threading.Event()
    statuses: list[int] = []
    scrapers = [threading.Thread(target=scrape_until, args=(done, port, statuses)) for _ in range(3)]
    for scraper in scrapers:
        scraper.start()
    worker.tell()
    facts = worker.hear(60)  # 150 children under coverage, beside other tests: one that hangs ends by its alarm
    done.set()
    for scraper in scrapers:
        scraper.join()
    assert facts["ends"] == [0]
    assert facts["longest"] < PATIENCE / 2
    assert set(statuses) == {200}
    assert len(statuses) > 20


SURVIVED = """
import time
endpoint = start(number=int(sys.argv[1]))
tell()
sys.stdin.readline()
for _ in range(3):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
tell()
time.sleep(60)
"""


def test_children_outlive_a_killed_parent(script, serve) -> None:
    """After the parent is killed with children alive, its clients see the end, and the port binds at once."""
    port = free_port()  # one of the kernel's choice could go to somebody's outgoing connection when it is free again
    worker = script(SURVIVED, str(port))
    worker.hear()
    with socket.create_connection(("127.0.0.1", port), timeout=8) as client:
        client.sendall(b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        worker.tell()
        worker.hear()
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        while client.recv(4096):
            pass  # the end comes, or the test times out
    served = serve(Port(number=port))
    assert (served.opened, served.taken) == ([port], [])
    assert served.fetch().status == 200


FORKING_COLLECTOR = """
class Forking:
    def __init__(self):
        self.codes = []
    def collect(self):
        pid = os.fork()
        if pid == 0:
            if len(sys.argv) > 1:
                return []  # the child goes on in the endpoint's own thread, as no sane one would
            os._exit(0)
        self.codes.append(os.waitpid(pid, 0)[1])
        return []
class Idle:
    def collect(self):
        return forking.collect() if forking else []
forking = None
registry.register(Idle())
forking = Forking()
endpoint = start()
tell(port=endpoint.port)
sys.stdin.readline()
tell(codes=forking.codes)
sys.stdin.readline()
"""


@pytest.mark.parametrize("arguments", [(), ("return",)])
def test_fork_from_the_endpoints_own_thread(script, arguments: tuple[str, ...]) -> None:
    """A collector that forks in the middle of a scrape deadlocks neither side, and the child serves nobody."""
    worker = script(FORKING_COLLECTOR, *arguments)
    port = worker.hear()["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=8) as response:
        assert b"orders_total 3.0" in response.read()
    worker.tell()
    assert worker.hear()["codes"] == [0]


def test_fork_waits_for_the_holder() -> None:
    """While the gate is held a fork waits, and goes on as soon as it is open."""
    gate, order, held = ForkGate(), [], threading.Event()

    def hold() -> None:
        with gate.hold():
            held.set()
            time.sleep(0.1)
            order.append("rendered")

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    gate.before()
    order.append("forked")
    gate.after_in_parent()
    holder.join()
    assert order == ["rendered", "forked"]


def test_fork_does_not_wait_for_the_dead() -> None:
    """A gate whose holder died is taken at once, also by the next fork, and the endpoint's next turn."""
    gate = ForkGate()
    dead = threading.Thread(target=lambda: gate.hold().__enter__())
    dead.start()
    dead.join()
    start = time.monotonic()
    for _ in range(2):
        gate.before()
        gate.after_in_parent()
    with gate.hold():
        pass
    assert time.monotonic() - start < PATIENCE / 2


def test_a_signal_that_interrupts_a_fork_leaves_the_gate_open() -> None:
    """At whichever line an application's handler raises: what is done once more then is whole, and nobody waits."""
    interrupter, number, shut = Interrupter(("otel_celery/forks.py",)), 0, []
    interrupter.has_raised = True
    while interrupter.has_raised:
        gate = ForkGate()
        with interrupter.at(number):
            for step in (gate.before, gate.after_in_parent):
                try:
                    step()
                except SoftTimeLimitExceeded:
                    step()
        if not _is_open(gate):
            shut.append(interrupter.line)
        number += 1
    assert number > 10
    assert shut == []


WAITING = """
import json, os, signal, threading, time
from otel_celery.forks import gate

class Limit(Exception):
    pass

def handler(*_):
    raise Limit

def scrape():
    with gate().hold():
        holding.set()
        time.sleep(0.4)

holding, kept = threading.Event(), []
signal.signal(signal.SIGALRM, handler)
threading.Thread(target=time.sleep, args=(60,), name="somebody", daemon=True).start()
for _ in range(3):
    holding.clear()
    thread = threading.Thread(target=scrape)
    thread.start()
    holding.wait()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        time.sleep(10)
    except Limit:
        kept.append(True)
    thread.join()
print(json.dumps([kept, list(gate()._forking)]))
"""


def test_a_signal_that_comes_while_a_fork_waits_at_the_gate_is_sent_again() -> None:
    """Once the fork is over, not while it still waits: there the exception of its handler would be lost again."""
    command = [sys.executable, "-W", "ignore", "-c", WAITING]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert json.loads(done.stdout) == [[True] * 3, []]


def test_a_fork_from_behind_the_gate_leaves_it_to_whoever_holds_it() -> None:
    """And so does one whose own handler forks."""
    gate = ForkGate()
    with gate.hold():
        gate.before()
        gate.after_in_parent()
        assert not _is_open(gate)
    assert _is_open(gate)
    gate.before()
    gate.before()
    gate.after_in_parent()
    gate.after_in_parent()
    assert _is_open(gate)


def _is_open(gate: ForkGate) -> bool:
    """Tell whether another thread gets the gate, and leave it as it is."""
    free: list[bool] = []

    def try_it() -> None:
        free.append(gate._lock.acquire(blocking=False))
        if free[0]:
            gate._lock.release()

    other = threading.Thread(target=try_it)
    other.start()
    other.join()
    return free == [True]


def test_a_fork_waits_longer_for_an_import(monkeypatch, caplog) -> None:
    """A child that is forked beside an import would hang at the same module, so the fork comes after it."""
    monkeypatch.setattr("otel_celery.forks.PATIENCE", 0.05)
    gate, held, imported = ForkGate(), threading.Event(), threading.Event()

    def bring_in() -> None:
        with gate.importing():
            held.set()
            time.sleep(0.5)
            imported.set()

    importer = threading.Thread(target=bring_in)
    importer.start()
    held.wait()
    gate.before()
    assert imported.is_set()
    gate.after_in_parent()
    importer.join()
    assert not caplog.records


def test_fork_does_not_wait_for_ever(monkeypatch, caplog) -> None:
    """A scrape that does not end delays a fork for a bounded time, is said in the log, and is left its lock."""
    monkeypatch.setattr("otel_celery.forks.PATIENCE", 0.05)
    gate, held, done = ForkGate(), threading.Event(), threading.Event()

    def hold() -> None:
        with gate.hold():
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    gate.before()
    gate.after_in_parent()
    done.set()
    holder.join()
    assert "went ahead" in caplog.text
    gate.before()
    gate.after_in_parent()
