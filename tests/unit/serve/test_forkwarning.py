"""Python's warning of a fork beside threads is left out where the threads are ours, and stays where they are not."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import warnings

import pytest

from otel_celery import forkwarning as warned

SENTENCE = "This process (pid=1) is multi-threaded, use of fork() may lead to deadlocks in the child."

FORKING = """
import json, os, sys, threading, time, warnings
from otel_celery.forks import gate
gate()
threading.Thread(target=time.sleep, args=(60,), name=sys.argv[1], daemon=True).start()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    warnings.warn("something else", DeprecationWarning)
    before = len(warnings.filters)
    for _ in range(3):
        if os.fork() == 0:
            os._exit(0)
        os.wait()
    grown = len(warnings.filters) - before
print(json.dumps([grown, [str(each.message)[:12] for each in seen]]))
"""


def fork_beside(name: str) -> list:
    """Fork beside a thread of that name, and give what was warned of."""
    done = subprocess.run([sys.executable, "-c", FORKING, name], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def test_a_fork_beside_our_threads_is_not_warned_of() -> None:
    """Whatever filters the application has set meanwhile, and every other warning is heard."""
    assert fork_beside("otel-celery-serve") == [0, ["something el"]]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="nothing warns")
def test_a_fork_beside_any_other_thread_is_warned_of() -> None:
    """Then it is true."""
    assert fork_beside("somebody")[1] == ["This process", "something el", *["This process"] * 3]


AT_ONCE = """
import json, os, time, warnings
from otel_celery import native
from otel_celery.forks import gate
gate()
told = []
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    for _ in range(100):
        begun, before = time.monotonic(), len(seen)
        native.start("otel-celery-sender", lambda: time.sleep(0.2))
        if os.fork() == 0:
            os._exit(0)
        if time.monotonic() - begun < native.STARTING_SECONDS:  # else the machine stalled for longer than a fork waits
            told.append(len(seen) - before)
        os.wait()
print(json.dumps(told))
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="nothing warns")
def test_a_fork_at_once_after_our_thread_was_started_is_not_warned_of() -> None:
    """A thread of ours has its name only a moment after it is there, for which a fork waits."""
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == {0}


@pytest.mark.parametrize(("name", "expected"), [("otel-celery-relay", True), ("somebody", False)])
def test_whose_threads_there_are(name: str, expected: bool, monkeypatch) -> None:  # noqa: FBT001
    """One thread that is not ours is enough."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name=name)
    thread.start()
    there = [str(each.native_id) for each in (thread, threading.current_thread())]
    monkeypatch.setattr("os.listdir", lambda _: there)
    try:
        assert warned.only_ours() is expected
        for _ in range(2):
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                warned.leave_out()
                warnings.warn(SENTENCE, DeprecationWarning, stacklevel=1)
                warnings.warn("something else", DeprecationWarning, stacklevel=1)
            assert len(seen) == (1 if expected else 2)
    finally:
        done.set()
        thread.join()
