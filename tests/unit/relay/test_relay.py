"""A main process and children, without Celery: each case is a process of its own, which forks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PREAMBLE = """
import json, os, socket, sys, time
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from otel_celery.lifecycle import Loss
from otel_celery.relay.child import child
from otel_celery.relay.wire import address, frames
from otel_celery.relay.main.relay import Relay
from otel_celery.forks import gate

orders = metrics.get_meter("shop").create_counter("orders")
reader = InMemoryMetricReader()
provider = MeterProvider([reader], shutdown_on_exit=False)
lost, failed, environ = [], [], {}
relay = Relay(provider, is_ours=True, label_length=200, gate=gate(),
              lost=lambda why, number: lost.append([why.value, number]),
              failed=lambda error: failed.append(repr(error)))

def begin():
    relay.open(environ, has_children=True)
    relay.start()

def fork(work, status=0):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(status)
    os.waitpid(pid, 0)

def values():
    data = reader.get_metrics_data()
    return {m.name: sum(p.value for p in m.data.data_points)
            for s in (data.resource_metrics[0].scope_metrics if data else ()) for m in s.metrics}

def until(name, value):
    end = time.monotonic() + 20
    while values().get(name) != value and time.monotonic() < end:
        time.sleep(0.02)
    return values().get(name)

def speak(data, secret=None):
    where = address.read(environ)
    speaker = socket.socket(socket.AF_UNIX)
    address.connect(speaker, where, 1)
    hello = frames.Hello(os.urandom(frames.NAME_SIZE), os.getpid()).pack(where.secret if secret is None else secret)
    speaker.send(data(hello) if callable(data) else hello + data)
    return speaker

def tell(**facts):
    print(json.dumps({**facts, "lost": lost, "failed": failed}))
"""


def run(script: str) -> dict:
    """Run a script, and return the facts that it tells."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREAMBLE + script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_children_that_say_goodbye_lose_nothing() -> None:
    """Each one's last values are heard before the relay is closed, and are still there after it."""
    facts = run("""
begin()
for _ in range(5):
    fork(lambda: (orders.add(2), child.say_goodbye()))
orders.add(1)
relay.close()
tell(orders=values()["orders"], environ=environ)
""")
    assert facts == {"orders": 11, "environ": {}, "lost": [], "failed": []}


def test_a_main_process_that_is_stuck_for_a_moment_gets_all_the_same() -> None:
    """More than a socket holds, from a child whose end may take its time: it goes on until all has been taken."""
    facts = run("""
import threading
relay.open(environ, has_children=True)
threading.Timer(1.0, relay.start).start()
def work():
    for number in range(1900):
        orders.add(1, {"order": f"{number:0200d}"})
    child._current._sender.say_goodbye(20)
fork(work)
tell(orders=until("orders", 1900))
""")
    assert facts == {"orders": 1900, "lost": [], "failed": []}


def test_a_child_that_ends_without_a_word_has_been_heard_after_a_moment() -> None:
    """What is older than the flush interval is there; a fork of a fork counts for itself."""
    facts = run("""
begin()
fork(lambda: (orders.add(2), fork(lambda: (orders.add(3), time.sleep(1))), time.sleep(1)))
tell(orders=until("orders", 5))
""")
    assert facts == {"orders": 5, "lost": [], "failed": []}


def test_f03_a_torn_frame_costs_itself() -> None:
    """Half a frame is dropped and counted, and whoever else speaks is heard."""
    facts = run("""
begin()
whole = frames.delta((("s", None, None, ()), "other", "", "", "counter", (), [((), 4)]))
speak(whole + whole[:-3]).close()
fork(lambda: (orders.add(2), child.say_goodbye()))
until("orders", 2)
end = time.monotonic() + 20
while not lost and time.monotonic() < end:
    time.sleep(0.02)
tell(values=values())
""")
    assert facts == {"values": {"other": 4, "orders": 2}, "lost": [["torn", 1]], "failed": []}


@pytest.mark.parametrize(
    "noise",
    [
        'lambda _: b"GET / HTTP/1.1\\r\\n\\r\\n"',
        'lambda _: b"(\\xff\\xff\\xff\\x0b" + b"N" * 4',
        'b"", bytes(16)',
        r'b"\xff" * 4',
    ],
    ids=["http", "nine bytes", "no secret", "no frame"],
)
def test_strangers_are_not_listened_to(noise: str) -> None:
    """What is no greeting or frame of ours ends that connection, and is counted; children are heard as before."""
    facts = run(f"""
begin()
with speak({noise}) as stranger:
    stranger.settimeout(20)
    over = stranger.recv(1)
fork(lambda: (orders.add(2), child.say_goodbye()))
tell(orders=until("orders", 2), over=len(over))
""")
    assert (facts["orders"], facts["over"], facts["lost"]) == (2, 0, [["malformed", 1]])
    assert len(facts["failed"]) == 1


@pytest.mark.parametrize(
    "odd",
    ['frames.frame(("what", 1))', 'b"\\0\\0\\0\\3xyz"', "bytes(4)", '(5_000).to_bytes(4, "big") + b"[" * 5_000'],
)
def test_a_frame_that_is_odd_costs_itself(odd: str) -> None:
    """It is counted, and what comes before and after it on the same connection is heard."""
    facts = run(f"""
begin()
good = frames.delta((("s", None, None, ()), "other", "", "", "counter", (), [((), 1)]))
speak(good + {odd} + good)
tell(other=until("other", 2))
""")
    assert (facts["other"], facts["lost"], len(facts["failed"])) == (2, [["malformed", 1]], 1)


def test_f79_a_flood_of_odd_frames_ends_its_connection() -> None:
    """Each costs the fork gate some microseconds, of which there may be any number; children are heard as before."""
    facts = run("""
begin()
with speak(b"\\0\\0\\0\\1x" * 1_000) as stranger:
    stranger.settimeout(20)
    try:
        over = stranger.recv(1)
    except ConnectionResetError:
        over = b""
fork(lambda: (orders.add(2), child.say_goodbye()))
tell(orders=until("orders", 2), over=len(over))
""")
    assert (facts["orders"], facts["over"]) == (2, 0)
    assert facts["lost"] == [["malformed", 1]] * 101


def test_a_child_outlives_a_relay_that_is_gone() -> None:
    """Nobody listens any more: no record waits for it, the goodbye is short, and the process ends as it would."""
    facts = run("""
begin()
relay._listener.close(0)
r, w = os.pipe()
def timed(call, *arguments):
    begun = time.monotonic()
    call(*arguments)
    return time.monotonic() - begun
def work():
    slowest = max((timed(orders.add, 1), time.sleep(0.01))[0] for _ in range(60))
    os.write(w, json.dumps({"slowest": slowest, "goodbye": timed(child.say_goodbye)}).encode())
fork(work)
tell(values=values(), **json.loads(os.read(r, 1000)))
""")
    assert facts["values"] == {}
    assert facts["slowest"] < 0.1, "connecting is not the recording thread's business"
    assert facts["goodbye"] < 1


def test_a_reader_that_a_child_inherited_is_silent() -> None:
    """It would export the main process's values a second time."""
    facts = run("""
begin()
orders.add(1)
r, w = os.pipe()
fork(lambda: os.write(w, json.dumps(values()).encode()))
tell(child=json.loads(os.read(r, 1000)), main=values())
""")
    assert (facts["child"], facts["main"]) == ({}, {"orders": 1})


def test_a_provider_that_is_set_later_is_served_too() -> None:
    """An application may set its own after the worker has begun: its readers get the children's sums."""
    facts = run("""
begin()
theirs = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([theirs], shutdown_on_exit=False))
fork(lambda: (orders.add(2), child.say_goodbye()))
first = until("orders", 2)
reader = theirs
tell(ours=first, theirs=values())
""")
    assert (facts["ours"], facts["theirs"]) == (2, {"orders": 2})


def test_without_children_only_the_proxies_are_bound() -> None:
    """On pools without processes there is no socket, and instruments made before record."""
    facts = run("""
relay.open(environ, has_children=False)
relay.start()
orders.add(3)
relay.close()
tell(orders=values()["orders"], environ=environ, meter=type(metrics.get_meter("later")).__name__)
""")
    assert facts == {"orders": 3, "environ": {}, "meter": "_ProxyMeter", "lost": [], "failed": []}


FEW = """
import multiprocessing, threading
from otel_celery.relay.child import sender
from otel_celery.relay.main import listener
listener.places = lambda: 4
sender.FLUSH_SECONDS = 0.01
stock = metrics.get_meter("shop").create_up_down_counter("stock")

def crowd(number, work):
    pids = []
    for _ in range(number):
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(0)
        pids.append(pid)
    return pids

def talks():
    return len(relay._listener._talks)
"""


def test_more_children_than_places_lose_nothing_and_count_nothing_twice() -> None:
    """Twenty that send all the time take four places from each other, in the middle of whatever they send."""
    facts = run(
        FEW
        + """
begin()
def work():
    for number in range(100):
        orders.add(1, {"each": f"{number % 40:0200d}"})
        stock.add(1)
        time.sleep(0.003)
    child._current._sender.say_goodbye(20)
most = 0
for pid in crowd(20, work):
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        most = max(most, talks())
        time.sleep(0.01)
tell(orders=until("orders", 2000), stock=until("stock", 2000), most=most)
"""
    )
    assert facts == {"orders": 2000, "stock": 2000, "most": 4, "lost": [], "failed": []}


def test_who_has_been_silent_for_longest_gives_way() -> None:
    """One of four children says nothing more; of the five that there are then it is the one without a connection."""
    facts = run(
        FEW
        + """
import signal
begin()
def talk():
    while True:
        orders.add(1)
        time.sleep(0.01)
def speaks():
    return {each.member.pid for each in list(relay._listener._talks) if each.member is not None}
def wait_for(pids):
    end = time.monotonic() + 20
    while speaks() != set(pids) and time.monotonic() < end:
        time.sleep(0.01)
    return speaks() == set(pids)
(silent,) = crowd(1, lambda: (stock.add(1), time.sleep(60)))
there = [wait_for([silent])]
talkers = crowd(3, talk)
there.append(wait_for([silent, *talkers]))
time.sleep(0.5)  # the silent one is the longest idle by far
last = crowd(1, talk)
there.append(wait_for([*talkers, *last]))
for pid in (silent, *talkers, *last):
    os.kill(pid, signal.SIGKILL)
tell(there=there)
"""
    )
    assert facts["there"] == [True, True, True]


def test_a_child_whose_connection_was_idle_is_not_taken_for_gone_until_it_is() -> None:
    """What it had added stays while it lives without a connection, and is taken back when it is killed."""
    facts = run(
        FEW
        + """
import signal
begin()
def work():
    stock.add(1)
    time.sleep(60)
pids = crowd(10, work)
added = until("stock", 10)
time.sleep(2.5)  # the processes are looked after twice
still, open_now = values()["stock"], talks()
for pid in pids[:6]:
    os.kill(pid, signal.SIGKILL)  # not waited for: the zombies are gone all the same
left = until("stock", 4)
for pid in pids[6:]:
    os.kill(pid, signal.SIGKILL)
tell(added=added, still=still, open=open_now, left=left, none=until("stock", 0))
"""
    )
    assert facts == {"added": 10, "still": 10, "open": 4, "left": 4, "none": 0, "lost": [], "failed": []}


def test_a_silent_connection_is_closed_when_its_time_is_over() -> None:
    """Whether it has begun a greeting or not; only what was said counts as malformed."""
    facts = run("""
from otel_celery.relay.main import listener, talk
talk.HELLO_SECONDS = listener.HELLO_SECONDS = 0.2
begin()
silent, half = speak(lambda hello: b""), speak(lambda hello: hello[:20])
for each in (silent, half):
    each.settimeout(20)
over = [silent.recv(1), half.recv(1)] == [b"", b""]
fork(lambda: (orders.add(2), child.say_goodbye()))
tell(orders=until("orders", 2), over=over)
""")
    assert (facts["orders"], facts["over"], facts["lost"]) == (2, True, [["malformed", 1]])


KNOCKING = """
import socket, sys
print("begun", flush=True)
while True:
    with socket.socket(socket.AF_UNIX) as each:
        each.connect(chr(0) + sys.argv[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the name is abstract")
def test_f79_whoever_connects_and_closes_without_end_is_let_in_at_a_pace() -> None:
    """At most two batches that leave without a greeting are let in before a pause; a child is heard meanwhile."""
    facts = run(f"""
import subprocess
from otel_celery.relay.main import entrance
begin()
seen, peer = [], address.peer
address.peer = lambda connection: seen.append(1) or peer(connection)
pauses, shut = [], entrance.Entrance._shut
entrance.Entrance._shut = lambda self, until: pauses.append(until) or shut(self, until)
command = [sys.executable, "-c", {KNOCKING!r}, address.read(environ).name[1:]]
flood = subprocess.Popen(command, stdout=subprocess.PIPE)
flood.stdout.readline()
end = time.monotonic() + 20
while len(seen) < 1000 and time.monotonic() < end:
    time.sleep(0.01)
begun = time.monotonic()
fork(lambda: (orders.add(2), child.say_goodbye()))
told = until("orders", 2)
waited = time.monotonic() - begun
flood.kill()
flood.wait()
tell(orders=told, waited=waited, seen=len(seen), most=2 * entrance.ACCEPTS * (len(pauses) + 1))
""")
    assert (facts["orders"], facts["lost"], facts["failed"]) == (2, [], [])
    assert 1000 <= facts["seen"] <= facts["most"]
    assert facts["waited"] < 5


def test_without_a_descriptor_nothing_waits_at_the_gate() -> None:
    """Children are not let in for a while, forks are as fast as ever, and who has waited is heard."""
    facts = run("""
import resource
begin()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
waiting = speak(frames.delta((("s", None, None, ()), "other", "", "", "counter", (), [((), 4)])))
until("other", 4)
sock = socket.socket(socket.AF_UNIX)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
sock.connect(address.read(environ).target)
begun, spent = time.monotonic(), time.process_time()
slowest = 0.0
while time.monotonic() < begun + 1.0:
    before = time.monotonic()
    with gate().hold():
        slowest = max(slowest, time.monotonic() - before)
    time.sleep(0.005)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
where = address.read(environ)
sock.send(frames.Hello(b"n" * 16, os.getpid()).pack(where.secret)
          + frames.delta((("s", None, None, ()), "other", "", "", "counter", (), [((), 3)])))
tell(other=until("other", 7), slowest=slowest)
""")
    assert (facts["other"], facts["lost"], len(facts["failed"])) == (7, [], 1)
    assert facts["slowest"] < 0.2, "it was a quarter of a second at a time"
