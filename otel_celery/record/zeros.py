"""Expected tasks that have not run: their counters stand at zero, so that a first failure shows in ``increase()``.

The bounds on label values are for tasks that run. Zeros take the places that are left, in the order in which tasks are
expected, and give way to a task that runs. A series that disappears in this way was zero all the time, so that no
counter falls and no sum changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.lifecycle import OTHER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from otel_celery.record.labels import Labels

Pair = tuple[str, str]
"""The labels ``task_name`` and ``queue``."""


class Zeros:
    """The pairs of task and queue that one worker expects."""

    def __init__(self, labels: Labels, max_pairs: int) -> None:
        """Expect nothing yet; ``max_pairs`` bounds the pairs that occurred and the expected ones together."""
        self._labels = labels
        self._max_pairs = max_pairs
        self._expected: dict[Pair, None] = {}

    def expect(self, pairs: Iterable[Pair]) -> None:
        """Expect these names of tasks and queues; they take no place among the label values yet."""
        labels = self._labels
        for name, queue in pairs:
            label = OTHER if labels.is_left_out(name) else labels.clean(name)
            self._expected.setdefault((label, labels.clean(queue)))

    def __len__(self) -> int:
        """Count the pairs that are expected."""
        return len(self._expected)

    def fitting(self, opened: Collection[Pair]) -> list[Pair]:
        """List the expected pairs that are not among ``opened`` and still fit in the bounds."""
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
