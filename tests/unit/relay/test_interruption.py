"""A soft time limit that arrives in a child's first measurement, at every line of ours that it takes there."""

from __future__ import annotations

import pytest

from tests.unit.relay.test_relay import run

LINES = 100

SCRIPT = f"""
sys.path.insert(0, ".")
from billiard.exceptions import SoftTimeLimitExceeded
from tests.unit.interrupt import Interrupter

kind = type(provider._measurement_consumer)
record, recorded = kind.consume_measurement, []

def consume_measurement(self, measurement):
    record(self, measurement)
    recorded.append(measurement)

kind.consume_measurement = consume_measurement
begin()
ours = ("child/child", "sdk", "child/sender", "child/delta")
files = (*(f"relay/{{each}}.py" for each in ours), "otel_celery/native.py")
interrupter = Interrupter(files)
told, tell_parent = os.pipe()
wait, let_go = os.pipe()

def work(number, is_patient):
    has_reached = False
    recorded.clear()
    with interrupter.at(number):
        try:
            orders.add(1)
        except SoftTimeLimitExceeded:
            has_reached = True
    is_recorded = bool(recorded)
    orders.add(10)
    os.write(tell_parent, bytes([interrupter.has_raised, has_reached, is_recorded]))
    os.close(let_go)
    if is_patient:
        os.read(wait, 1)
    else:
        child.say_goodbye()

for is_patient in (True, False):
    before = values().get("orders", 0)
    pids, counts = [], []
    for number in range({LINES}):
        pid = os.fork()
        if pid == 0:
            try:
                work(number, is_patient)
            finally:
                os._exit(0)
        pids.append(pid)
        counts.append(list(os.read(told, 3)))
    reached = sum(r for _, r, _ in counts)
    swallowed = [n for n, (raised, r, _) in enumerate(counts) if raised != r]
    expected = before + 10 * {LINES} + sum(is_recorded for *_, is_recorded in counts)
    seen = until("orders", expected)
    if is_patient:
        os.close(let_go)
        wait_again, let_go = os.pipe()
        os.dup2(wait_again, wait)
    for pid in pids:
        os.waitpid(pid, 0)
    facts = dict(swallowed=swallowed, reached=reached, missing=expected - seen, twice=values()["orders"] - seen)
    print(json.dumps(facts), file=sys.stderr)
    assert not swallowed and seen == expected == values()["orders"], facts
    assert 10 < reached < {LINES}, facts
tell(reached=reached)
"""


FORK = """
sys.path.insert(0, ".")
from billiard.exceptions import SoftTimeLimitExceeded
from tests.unit.interrupt import Interrupter
begin()
interrupter = Interrupter(("otel_celery/forks.py", "otel_celery/forkwarning.py"))
told, tell_parent = os.pipe()

def one(number):
    with interrupter.at(number):
        try:
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
            if interrupter.has_raised:
                time.sleep(0.5)
        except SoftTimeLimitExceeded:
            return True
    return False

def work():
    facts, number = [], 0
    interrupter.has_raised = True
    while interrupter.has_raised:
        has_reached = one(number)
        facts.append([interrupter.line, has_reached] if interrupter.has_raised else None)
        number += 1
    os.write(tell_parent, json.dumps(facts[:-1]).encode())

fork(work)
tell(facts=json.loads(os.read(told, 10_000)))
"""


def test_one_that_arrives_while_the_task_forks_reaches_it() -> None:
    """Python prints what an at-fork handler raises, and goes on: it comes again, at whichever line."""
    facts = run(FORK)["facts"]
    assert len(facts) > 3
    assert [line for line, has_reached in facts if not has_reached] == []


REAL = """
import ctypes, signal, threading
from functools import partial

from billiard.exceptions import SoftTimeLimitExceeded
armed, unraisable = [], []
sys.unraisablehook = lambda about: unraisable.append(repr(about.exc_value))
kill = ctypes.CDLL(None).pthread_kill  # which leaves it to the next line of Python that runs to see the signal
arm = iter(lambda: armed.pop() if armed else 0, None)
kill.argtypes = [ctypes.c_ulong, ctypes.c_int]
send = map(kill, iter(threading.get_ident, None), arm).__next__
if {before}:
    begin()
    os.register_at_fork(before=send)  # the last one is called first
else:
    os.register_at_fork(after_in_parent=send)
    begin()

def limit(number, frame):
    raise SoftTimeLimitExceeded
signal.signal(signal.SIGUSR1, limit)

reached = 0
for _ in range(20):
    armed.append(signal.SIGUSR1)
    try:
        fork(lambda: None)
        time.sleep(5)
    except SoftTimeLimitExceeded:
        reached += 1
free = []
other = threading.Thread(target=lambda: free.append(gate()._lock.acquire(timeout=5)))
other.start()
other.join()
tell(reached=reached, unraisable=unraisable, free=free)
"""


@pytest.mark.parametrize("before", [True, False])
def test_one_that_arrives_before_our_first_line_reaches_it_too(before: bool) -> None:  # noqa: FBT001  pytest's
    """A real signal, which Python sees as our at-fork handler begins; and the gate is open afterwards."""
    facts = run(REAL.replace("{before}", repr(before)))
    assert facts == {"reached": 20, "unraisable": [], "free": [True], "lost": [], "failed": []}


def test_it_reaches_the_task_and_the_next_measurement_is_heard() -> None:
    """Nothing is lost, nor counted twice: of a child that lives on, and of one that ends at once."""
    facts = run(SCRIPT)
    assert (facts["lost"], facts["failed"]) == ([], [])
