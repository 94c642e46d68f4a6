"""What is frozen is never collected, here or in a child; each story has a process, and so a collector, of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = """
import gc, os
from otel_celery.freezing import Pause, freeze

class Cycle:
    def __init__(self):
        self.me = self
        alive.append(0)
    def __del__(self):
        alive.pop()

alive = []

def collect():
    gc.collect()
    return len(alive)

def in_child(ask):
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writing, str(ask()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return int(os.read(reading, 100))
"""


def told(story: str) -> str:
    """Tell what a story prints."""
    done = subprocess.run([sys.executable, "-c", BEGIN + story], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_was_garbage_is_collected_first() -> None:
    """A cycle that nobody holds any more is not kept for ever."""
    assert told("Cycle(); print(len(alive), freeze() > 1_000, len(alive))") == "1 True 0"


def test_a_cycle_that_was_alive_is_never_collected() -> None:
    """It stays, in the main process and in a child; what came later is collected, until it is frozen as well."""
    story = """
early = Cycle()
freeze()
late = Cycle()
del early, late
print(in_child(collect), collect(), end=" ")
more = [Cycle() for _ in range(100)]
freeze()
del more
print(in_child(collect), collect())
"""
    assert told(story) == "1 1 101 101"


def test_what_no_cycle_holds_is_freed() -> None:
    """Frozen objects are freed as ever once nobody refers to them."""
    story = """
kept = Cycle()
freeze()
kept.me = None
del kept
print(len(alive))
"""
    assert told(story) == "0"


def test_a_pause_leaves_nothing_frozen() -> None:
    """What is alive is frozen during the pause only: each child thaws it, and so does the main process at the end."""
    story = """
kept, pause = Cycle(), Pause()
pause.begin()
print(gc.get_freeze_count() > 1_000, in_child(gc.get_freeze_count), end=" ")
del kept
print(collect(), in_child(collect), end=" ")
pause.end()
print(gc.get_freeze_count(), in_child(gc.get_freeze_count), collect())
"""
    assert told(story) == "True 0 1 0 0 0 0"


def test_a_pause_collects_what_was_garbage() -> None:
    """Celery's collections between the forks find nothing to look at, so the pause's own comes first."""
    assert told("Cycle(); print(len(alive)); Pause().begin(); print(len(alive))").split() == ["1", "0"]


def test_what_the_application_has_frozen_stays() -> None:
    """It stays in both processes, whether it was frozen before the pause or meanwhile; nothing else is added to it."""
    story = """
freeze()
frozen, pause = gc.get_freeze_count(), Pause()
early = [Cycle() for _ in range(100)]
pause.begin()
print(gc.get_freeze_count() == frozen, end=" ")
pause.end()
print(gc.get_freeze_count() == frozen, in_child(gc.get_freeze_count) > 1_000)
"""
    assert told(story) == "True True True"
    meanwhile = """
pause = Pause()
pause.begin()
late = [Cycle() for _ in range(100)]
gc.freeze()
print(in_child(gc.get_freeze_count) > 1_000, end=" ")
pause.end()
print(gc.get_freeze_count() > 1_000)
"""
    assert told(meanwhile) == "True True"


@pytest.mark.parametrize("first", ["", "gc.unfreeze(); gc.collect()"])
def test_what_the_application_freezes_meanwhile_stays_though_it_is_less(first: str) -> None:
    """It lets go of something, as of its connections, and freezes what is left before each fork."""
    story = f"""
pause, early = Pause(), [[] for _ in range(1_000)]
pause.begin()
del early
{first}
gc.freeze()
print(in_child(gc.get_freeze_count) > 1_000, end=" ")
pause.end()
print(gc.get_freeze_count() > 1_000)
"""
    assert told(story) == "True True"


def test_a_child_that_another_thread_forks_as_the_pause_begins_thaws_as_well() -> None:
    """It may be forked between any two steps."""
    story = """
froze, children = gc.freeze, []
def freezing():
    froze()
    children.append(in_child(gc.get_freeze_count))
gc.freeze, pause = freezing, Pause()
pause.begin()
print(gc.get_freeze_count() > 1_000, children, end=" ")
pause.end()
print(gc.get_freeze_count())
"""
    assert told(story) == "True [0] 0"


def test_a_pause_that_is_ended_as_it_begins_ends_at_the_next_end() -> None:
    """A thread that uninstruments is told of no pause, and one is over once the pool has started."""
    story = """
froze, pause = gc.freeze, Pause()
def freezing():
    pause.end()
    froze()
gc.freeze = freezing
pause.begin()
pause.end()
print(gc.get_freeze_count())
"""
    assert told(story) == "0"


def test_two_workers_pause_at_once() -> None:
    """Whoever comes second leaves the first one's pause alone, and whoever ends without a pause changes nothing."""
    story = """
first, second = Pause(), Pause()
first.begin()
second.begin()
second.end()
print(gc.get_freeze_count() > 1_000, end=" ")
first.end()
first.end()
print(gc.get_freeze_count())
"""
    assert told(story) == "True 0"


def test_a_worker_that_is_made_and_never_started_freezes_nothing() -> None:
    """It is garbage once its owner drops it, and so is all else; a step that cannot be made ends a worker as early."""
    story = """
import weakref
from celery import Celery
from otel_celery import instrument

os.environ.update(PROMETHEUS_ENABLED="true", PROMETHEUS_PORT="9101")
app, before = Celery(broker="redis://localhost"), gc.get_freeze_count()
handle = instrument(app)
worker = app.Worker(pool="prefork", concurrency=1)
seen = weakref.ref(worker)
print(type(worker).__mro__[1].__module__, worker.use_eventloop, gc.get_freeze_count() - before, end=" ")
del worker
gc.collect()
print(seen())
"""
    assert told(story) == "otel_celery.controller True 0 None"
