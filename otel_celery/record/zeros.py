"""Books at zero of tasks that are expected and have not run: so that a first failure shows in ``increase()``.

The bounds are for what occurs. Zeros take the places that are left, in the order in which they are expected, and give
way when a task runs that has none: a series that goes so was zero for as long as it stood, so that no counter falls and
no sum of the books changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.lifecycle import OTHER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from otel_celery.record.labels import Labels

Pair = tuple[str, str]
"""The labels of a task and of its queue."""


class Zeros:
    """The pairs of task and queue that one worker expects."""

    def __init__(self, labels: Labels, max_pairs: int) -> None:
        """Expect nothing; ``max_pairs`` bounds what occurred and what is expected together."""
        self._labels = labels
        self._max_pairs = max_pairs
        self._expected: dict[Pair, None] = {}

    def expect(self, pairs: Iterable[Pair]) -> None:
        """Expect tasks by their names and their queues', as :meth:`Labels.task_name` takes them; no place is taken."""
        labels = self._labels
        for name, queue in pairs:
            label = OTHER if labels.is_left_out(name) else labels.clean(name)
            self._expected.setdefault((label, labels.clean(queue)))

    def __len__(self) -> int:
        """Count the pairs that are expected."""
        return len(self._expected)

    def fitting(self, opened: Collection[Pair]) -> list[Pair]:
        """List the pairs expected that have not occurred, are not among ``opened``, and find a place."""
        room = self._max_pairs - len(opened)
        names, queues = self._labels.places("task_name"), self._labels.places("queue")
        fitting: list[Pair] = []
        for name, queue in self._expected:
            if len(fitting) >= room:
                break
            if (name, queue) not in opened and names.have(name) and queues.have(queue):
                names.take(name)
                queues.take(queue)
                fitting.append((name, queue))
        return fitting
