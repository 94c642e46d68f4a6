"""What Python 3.12 and later warn of at a fork, where only our own threads are meant.

They count the process's threads and say that ``os.fork`` may lead to deadlocks in the child. It may not for the sake
of ours: they hold no lock while somebody forks, since the gate keeps them asleep, and the child needs none of them.
Where any other thread lives the warning is true, and stays.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from typing import Any

_PREFIX = "otel-celery"
"""What the names of our threads begin with."""


_FILTER: Any = (
    "ignore",
    re.compile(r"This process \(pid=\d+\) is multi-threaded, use of fork"),
    DeprecationWarning,
    None,
    0,
)
"""It runs no line of Python at the fork itself, where what a signal's handler raises would be thrown away."""


def only_ours() -> bool:
    """Tell whether the process has no threads but the current one and ours."""
    ours = {thread.native_id for thread in threading.enumerate() if thread.name.startswith(_PREFIX)}
    try:
        there = {int(number) for number in os.listdir("/proc/self/task")}  # noqa: PTH208  as little as can be, at a fork
    except OSError:
        there = {thread.native_id or 0 for thread in threading.enumerate()}
    return there <= ours | {threading.get_native_id()}


def leave_out() -> None:
    """Have the next fork not warned of without reason, whatever filters were set since the last one."""
    is_false = only_ours()
    if is_false is not (warnings.filters[:1] == [_FILTER]):
        others = [each for each in warnings.filters if each is not _FILTER]
        warnings.filters[:] = [*([_FILTER] if is_false else []), *others]  # type: ignore[index]
