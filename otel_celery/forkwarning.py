"""Suppress the fork warning of Python 3.12 and later where the process's only other threads are ours.

Python warns that ``os.fork`` in a process with several threads may lead to deadlocks in the child. Our threads cannot
cause one: the gate keeps them asleep during a fork, so that they hold no lock, and the child needs none of them. With
any other thread in the process the warning is true, and is shown.
"""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any

_PREFIX = "otel-celery"
"""The prefix of our threads' names."""


class _OnlyOurs:
    """Takes the place of a warning filter's regular expression, and looks at the threads when a warning comes."""

    def match(self, text: str) -> bool:
        """Tell whether this text is the fork warning, and only our own threads cause it."""
        return "is multi-threaded, use of fork" in text and only_ours()


_FILTER: Any = ("ignore", _OnlyOurs(), DeprecationWarning, None, 0)


def only_ours() -> bool:
    """Tell whether the process has no threads but the current one and ours."""
    ours = {thread.native_id for thread in threading.enumerate() if thread.name.startswith(_PREFIX)}
    try:
        there = {int(number) for number in os.listdir("/proc/self/task")}  # noqa: PTH208  cheaper, at each fork
    except OSError:
        there = {thread.native_id or 0 for thread in threading.enumerate()}
    return there <= ours | {threading.get_native_id()}


def leave_out() -> None:
    """Put our filter in front of all others before a fork, since filters may have been set after the last one."""
    if warnings.filters[:1] != [_FILTER]:
        warnings.filters[:] = [_FILTER, *(each for each in warnings.filters if each is not _FILTER)]  # type: ignore[index]
