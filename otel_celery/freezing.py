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
        self._mark: list[object] | None = None
        """What was made once all was frozen: it is frozen only if somebody else has frozen since. None: no pause."""

    def begin(self) -> None:
        """Collect what can be, and freeze what is left, unless the application has frozen something itself."""
        if gc.get_freeze_count() <= PYTHONS_OWN:
            after_each_fork(self.end)
            self._mark = []  # another thread may fork at any step
            freeze()
            self._mark = [object()]

    def end(self) -> None:
        """Thaw what was frozen; in each forked child it is called as the child begins.

        What the application has frozen meanwhile cannot be told apart, and all of it stays frozen.
        """
        mark, self._mark = self._mark, None
        if mark is not None and not _is_frozen(mark):
            gc.unfreeze()


def _is_frozen(mark: list[object]) -> bool:
    """Tell whether a list with an object of its own is frozen: what is frozen is not among an object's referrers.

    To look for them writes into no header, and there are few objects to look at beside those that are frozen.
    """
    return bool(mark) and all(found is not mark for found in gc.get_referrers(*mark))
