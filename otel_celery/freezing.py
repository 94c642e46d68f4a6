"""Keep the garbage collector away from what a worker has in memory when it forks its pool, so that children share it.

A collection writes into the header of each object that it looks at, which unshares the page where the object lies. And
Celery collects before it starts each child: of bare Celery's children each has a copy of its own. No collection looks
at what is frozen.
"""

from __future__ import annotations

import gc


def freeze() -> int:
    """Collect what can be, freeze what is left for good, and return how many objects are frozen in this process.

    What has been frozen before, by the application or by an earlier call, stays frozen.
    """
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()
