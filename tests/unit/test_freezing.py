"""What is frozen is never collected, here or in a child; each story has a process, and so a collector, of its own."""

from __future__ import annotations

import subprocess
import sys

BEGIN = """
import gc, os
from otel_celery.freezing import freeze

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
