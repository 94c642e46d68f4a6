"""The children of a worker, over all their connections: a connection that we end is not the end of its child.

A child goes when it says goodbye, when it ends its own connection, or when its process is gone. The last is looked for
only while a child has no connection, since the kernel ends those of a process that is gone.
"""

from __future__ import annotations

import functools
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from otel_celery.relay.main.talk import Member

if TYPE_CHECKING:
    from otel_celery.relay.main.talk import Talk

LOOK_SECONDS = 1.0
"""How often a child without a connection is looked after."""

LOOKS = 16
"""How many of them are looked after in one turn."""

_UNKNOWN = b""
"""When a process began of which no more can be told than that it lives."""


class Roster:
    """Who there is, with a connection or without."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._numbers = itertools.count(1)
        self._members: dict[bytes, Member] = {}
        self._away: dict[Member, float] = {}

    def __len__(self) -> int:
        return len(self._members)

    def find(self, name: bytes, pid: int) -> Member:
        """Give the child of this name, who may have been here before."""
        member = self._members.get(name)
        if member is None:
            member = self._members[name] = Member(name, next(self._numbers), pid)
        return member

    def arrive(self, member: Member, talk: Talk) -> None:
        """Note that a child has a connection."""
        self._away.pop(member, None)
        member.talk, member.is_torn, member.is_gone = talk, False, False

    def send_away(self, member: Member, now: float, *, is_torn: bool) -> None:
        """Note that a child has no connection any more, and may come back."""
        member.talk, member.is_torn = None, is_torn
        member.began = began(member.pid)
        self._away[member] = now + LOOK_SECONDS

    def leave(self, member: Member) -> None:
        """Forget a child that went."""
        self._members.pop(member.name, None)
        self._away.pop(member, None)

    def next_look(self) -> float | None:
        """Tell when somebody is to be looked after, on the monotonic clock; None while nobody is away."""
        return next(iter(self._away.values()), None)  # in the order in which they were put there, so of their times

    def gone(self, now: float) -> list[Member]:
        """Look after those whose time has come, some at a time, and give those whose process is gone.

        And was so the last time: what it said at its end may still wait to be let in.
        """
        due = [member for member, at in itertools.islice(self._away.items(), LOOKS) if at <= now]
        for member in due:
            del self._away[member]
            self._away[member] = now + LOOK_SECONDS
        gone = [member for member in due if not _lives(member)]
        found = [member for member in gone if member.is_gone]
        for member in gone:
            member.is_gone = True
        return found

    def everyone(self) -> list[Member]:
        """List all there are."""
        return list(self._members.values())


def _lives(member: Member) -> bool:
    if member.pid <= 0:
        return True  # of another process namespace: nobody can tell
    found = began(member.pid)
    return (
        found is not None and member.began is not None and (found == member.began or _UNKNOWN in {found, member.began})
    )


def began(pid: int) -> bytes | None:
    """Tell when a process began, in whatever measure; None when there is none, or it is only not yet waited for."""
    if not _has_proc():
        return _answers(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:  # no descriptor is left: nothing can be said
        return _answers(pid)
    return None if fields[0] in {b"Z", b"X"} else fields[19]


@functools.cache
def _has_proc() -> bool:
    return Path("/proc/self/stat").exists()


def _answers(pid: int) -> bytes | None:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        return _UNKNOWN
    return _UNKNOWN
