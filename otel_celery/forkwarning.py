"""Suppress the fork warning of Python 3.12 and later where the process's only other threads are ours.

Python warns that ``os.fork`` in a process with several threads may lead to deadlocks in the child. Our threads cannot
cause one: the gate keeps them asleep during a fork, so that they hold no lock, and the child needs none of them. With
any other thread in the process the warning is true, and is shown.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from typing import Any

from otel_celery import native

_PREFIX = "otel-celery"
"""The prefix of our threads' names."""


_FILTER: Any = (
    "ignore",
    re.compile(r"This process \(pid=\d+\) is multi-threaded, use of fork"),
    DeprecationWarning,
    None,
    0,
)
"""A pattern of `re`: a filter written in Python would run at the fork, where a signal handler's exception is lost."""


def only_ours() -> bool:
    """Tell whether the process has no threads but the current one and ours.

    Waits STARTING_SECONDS at most for a thread of ours that has just been started to have its name.
    """
    while not (is_so := _look()) and native.is_starting():
        native.original("time", "sleep")(0.001)
    return is_so


def _look() -> bool:
    ours = {thread.native_id for thread in threading.enumerate() if thread.name.startswith(_PREFIX)}
    try:
        there = {int(number) for number in os.listdir("/proc/self/task")}  # noqa: PTH208  cheaper, at each fork
    except OSError:
        there = {thread.native_id or 0 for thread in threading.enumerate()}
    return there <= ours | {threading.get_native_id()}


def leave_out() -> None:
    """Put our filter first if only our threads exist, else remove it; repeated at each fork, since filters change."""
    is_false = only_ours()
    if is_false is not (warnings.filters[:1] == [_FILTER]):
        others = [each for each in warnings.filters if each is not _FILTER]
        warnings.filters[:] = [*([_FILTER] if is_false else []), *others]  # type: ignore[index]
