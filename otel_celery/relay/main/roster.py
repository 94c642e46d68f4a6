"""The children of a worker over all their connections: closing a connection of a child does not end the child.

A child ends when it says goodbye, when it closes its own connection, or when its process is gone. The last is checked
only while a child has no connection, since the kernel closes those of a process that is gone.
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
"""Seconds between two checks of a child without a connection."""

LOOKS = 16
"""Children that are checked in one turn, at most."""

_UNKNOWN = b""
"""Stands for the start time of a process of which only its existence is known."""


class Roster:
    """The children of one worker, with or without a connection."""

    def __init__(self) -> None:
        """Begin without children."""
        self._numbers = itertools.count(1)
        self._members: dict[bytes, Member] = {}
        self._away: dict[Member, float] = {}

    def __len__(self) -> int:
        return len(self._members)

    def find(self, name: bytes, pid: int) -> Member:
        """Return the child of this name, and add it if it is new."""
        member = self._members.get(name)
        if member is None:
            member = self._members[name] = Member(name, next(self._numbers), pid)
        return member

    def arrive(self, member: Member, talk: Talk) -> None:
        """Note that a child has a connection."""
        self._away.pop(member, None)
        member.talk, member.is_torn, member.is_gone = talk, False, False

    def send_away(self, member: Member, now: float, *, is_torn: bool) -> None:
        """Note that a child has no connection any more, and may connect again."""
        member.talk, member.is_torn = None, is_torn
        member.began = began(member.pid)
        self._away[member] = now + LOOK_SECONDS

    def leave(self, member: Member) -> None:
        """Forget a child that ended."""
        self._members.pop(member.name, None)
        self._away.pop(member, None)

    def next_look(self) -> float | None:
        """Return when the next child is to be checked, on the monotonic clock; None while all have a connection."""
        return next(iter(self._away.values()), None)  # children are added in the order of their times

    def gone(self, now: float) -> list[Member]:
        """Check the children that are due, LOOKS at most, and return those whose process was gone twice in a row.

        The last frames of a child may still wait to be accepted at the first check.
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
        """List all children."""
        return list(self._members.values())


def _lives(member: Member) -> bool:
    if member.pid <= 0:
        return True  # of another process namespace: it cannot be checked
    found = began(member.pid)
    return (
        found is not None and member.began is not None and (found == member.began or _UNKNOWN in {found, member.began})
    )


def began(pid: int) -> bytes | None:
    """Return when a process began, in the kernel's own measure; None if there is none, or it waits to be reaped."""
    if not _has_proc():
        return _answers(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:  # no descriptor is left: only its existence can be checked
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
