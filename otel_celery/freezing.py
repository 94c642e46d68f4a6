"""Keep the garbage collector away from what a worker has in memory when it forks its pool, so that children share it.

A collection writes into the header of each object that it looks at, which unshares the page where the object lies. And
Celery collects before it starts each child: of bare Celery's children each has a copy of its own. No collection looks
at what is frozen.
"""

from __future__ import annotations

import gc

from otel_celery.forks import after_each_fork

PYTHONS_OWN = 1_000
"""Objects that Python may have frozen itself as it started; 3.12 freezes some 400."""


def freeze() -> int:
    """Collect what can be, freeze what is left for good, and return how many objects are frozen in this process.

    What has been frozen before, by the application or by an earlier call, stays frozen.
    """
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()


class Pause:
    """Keeps the garbage collector from what is alive while a pool forks, and leaves nothing frozen in any process.

    Celery collects garbage before it forks each child. Each time the collector looks at everything that is alive, and
    has each page copied that the children born before share: a third of what a worker takes until it is ready. One
    collection before the first fork finds the same garbage.
    """

    def __init__(self) -> None:
        """Make a pause that has not begun."""
        self._frozen = 0

    def begin(self) -> None:
        """Collect what can be, and freeze what is left, unless the application has frozen something itself."""
        if gc.get_freeze_count() <= PYTHONS_OWN:
            after_each_fork(self.end)
            self._frozen = freeze()

    def end(self) -> None:
        """Thaw what was frozen; in each forked child it is called as the child begins.

        What the application has frozen meanwhile cannot be told apart, and all of it stays frozen; unless it has thawed
        ours, and frozen less.
        """
        frozen, self._frozen = self._frozen, 0
        if frozen >= gc.get_freeze_count():
            gc.unfreeze()
