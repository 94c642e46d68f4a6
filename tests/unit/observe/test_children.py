"""The pool's children: each end once, with its reason, by what billiard has filled in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from otel_celery.lifecycle import Exit
from otel_celery.observe.children import Children


class FakeProcess:
    """A child as billiard keeps it."""

    def __init__(self, pid: int) -> None:
        """Run."""
        self._popen: Any = SimpleNamespace(pid=pid, returncode=None)

    def ends(self, status: int) -> None:
        """Have been waited for."""
        self._popen.returncode = status


class Site:
    """A pool of fake processes, and what is told of them."""

    def __init__(self, *pids: int) -> None:
        """Start processes."""
        self.processes = [FakeProcess(pid) for pid in pids]
        self.exits: list[Exit] = []
        self.pool: Any = SimpleNamespace(_pool=SimpleNamespace(_pool=self.processes))
        self.children = Children(lambda: self.pool, self.exits.append)

    def look(self) -> list[Exit]:
        """Look once."""
        self.children.look()
        return self.exits


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (155, Exit.RECYCLED),
        (-9, Exit.KILLED),
        (-11, Exit.KILLED),
        (-15, Exit.KILLED),
        (0, Exit.EXITED),
        (1, Exit.EXITED),
        (70, Exit.EXITED),
    ],
)
def test_the_status_tells_the_reason(status: int, reason: Exit) -> None:
    """155 is billiard's recycling, a negative status a signal, all else an exit."""
    site = Site(11, 12)
    assert site.look() == []
    site.processes[0].ends(status)
    assert site.look() == [reason]


def test_an_end_is_counted_once() -> None:
    """Looking again, with the process still in the list or gone, tells nothing new."""
    site = Site(11)
    site.look()
    site.processes[0].ends(155)
    assert site.look() == [Exit.RECYCLED]
    assert site.look() == [Exit.RECYCLED]
    site.processes.clear()
    assert site.look() == [Exit.RECYCLED]


def test_a_child_that_left_the_list_is_still_known() -> None:
    """Billiard takes an ended process off its list before we look."""
    site = Site(11)
    site.look()
    process = site.processes.pop()
    process.ends(1)
    assert site.look() == [Exit.EXITED]


def test_a_child_that_was_never_seen_alive_is_not_counted() -> None:
    """What had ended before the first look belongs to nobody."""
    site = Site(11)
    site.processes[0].ends(1)
    assert site.look() == []


def test_a_hard_limit_is_a_reason_of_its_own() -> None:
    """The kill for a time limit is told apart from any other kill."""
    site = Site(11, 12)
    site.look()
    site.children.timed_out(11)
    for process in site.processes:
        process.ends(-9)
    assert site.look() == [Exit.TIMED_OUT, Exit.KILLED]


@pytest.mark.parametrize("pid", [None, 99])
def test_a_limit_of_somebody_unknown_is_ignored(pid: int | None) -> None:
    """On other pools a task has no process of its own."""
    site = Site(11)
    site.look()
    site.children.timed_out(pid)
    site.processes[0].ends(-9)
    assert site.look() == [Exit.KILLED]


def test_a_pid_is_used_again() -> None:
    """A new process under an old number is another child, and has not timed out."""
    site = Site(11)
    site.look()
    site.children.timed_out(11)
    site.processes[0].ends(-9)
    site.processes[:] = [FakeProcess(11)]
    assert site.look() == [Exit.TIMED_OUT]
    site.processes[0].ends(-9)
    assert site.look() == [Exit.TIMED_OUT, Exit.KILLED]


@pytest.mark.parametrize(
    "pool",
    [
        None,
        SimpleNamespace(),
        SimpleNamespace(_pool=None),
        SimpleNamespace(_pool=SimpleNamespace()),
        SimpleNamespace(_pool=SimpleNamespace(_pool=None)),
    ],
    ids=["none yet", "solo", "threads", "gevent", "closed"],
)
def test_a_pool_without_processes_has_no_children(pool: Any) -> None:
    """Every pool kind may be looked at, at any time."""
    site = Site()
    site.pool = pool
    assert site.look() == []


def test_a_process_that_has_not_started_is_skipped() -> None:
    """Between its making and its start a process has no pid."""
    site = Site(11)
    site.processes[0]._popen = None
    assert site.look() == []
