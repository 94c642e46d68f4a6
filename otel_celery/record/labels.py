"""Clean, cut and bound label values, so that no message can make series without end."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from otel_celery import plain
from otel_celery.lifecycle import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_celery.settings.settings import Bounds

MAX_QUEUES = 500
"""Queue labels of a worker at most. The operator chooses a worker's queues, so this only contains a mistake."""

MAX_ASKED_QUEUES = 5_000
"""Queue labels at most of a process that asks brokers for the queues that an app or an operator names."""


class Places:
    """The values of one label that have been admitted, and how many may be."""

    __slots__ = ("_limit", "_taken")

    def __init__(self, limit: int, taken: Iterable[str] = ()) -> None:
        """Begin with the values in ``taken``; admit ``limit`` values at most."""
        self._limit = limit
        self._taken = set(taken)

    def __contains__(self, label: str) -> bool:
        """Tell whether a value is admitted; ``other`` always is."""
        return label in self._taken or label == OTHER

    def have(self, label: str) -> bool:
        """Tell whether a value is admitted, or could be."""
        return label in self or len(self._taken) < self._limit

    def take(self, label: str) -> None:
        """Admit a value."""
        if label != OTHER:
            self._taken.add(label)

    def copy(self) -> Places:
        """Return a copy."""
        return Places(self._limit, self._taken)


class Labels:
    """The label values of one worker; a value that has occurred stays admitted."""

    def __init__(self, bounds: Bounds, folded: Callable[[str], None], max_queues: int = MAX_QUEUES) -> None:
        """``folded`` is called with the label's name when a value becomes ``other`` because the bound is reached."""
        self._bounds = bounds
        self._folded = folded
        limits = {"task_name": bounds.task_names, "exception": bounds.exceptions, "queue": max_queues}
        self._places = {what: Places(limit) for what, limit in limits.items()}
        self._queues_left_out = 0

    def task_name(self, name: str) -> str:
        """Return a task's label; ``other`` if the operator leaves the task out."""
        return OTHER if self.is_left_out(name) else self._bounded("task_name", name)

    def known_task_name(self, name: str) -> str:
        """Return the label that a task got when it was first counted; nothing new is admitted."""
        label = self.clean(name)
        return label if label in self._places["task_name"] and not self.is_left_out(name) else OTHER

    def queue(self, name: str) -> str:
        """Return the label of the queue that a message came from."""
        return self._bounded("queue", name)

    def queues(self, names: Iterable[str]) -> list[str]:
        """Return the labels of queues that a scrape lists: bounded as others are, but nothing new is admitted."""
        labels = list(dict.fromkeys(map(self.clean, names)))
        kept, left_out = labels[:MAX_QUEUES], len(labels) - MAX_QUEUES
        while self._queues_left_out < left_out:
            self._queues_left_out += 1
            self._folded("queue")
        return kept if left_out <= 0 else list(dict.fromkeys([*kept, OTHER]))

    def exception(self, name: str) -> str:
        """Return the label of an exception's class; never its message, which may hold secrets."""
        return self._bounded("exception", name)

    def clean(self, value: str) -> str:
        """Clean a value as any label is; one that is empty is ``other``."""
        return plain.text(value, self._bounds.label_length) or OTHER

    def places(self, what: str) -> Places:
        """Return a copy of a label's admitted values, to see how many more would fit."""
        return self._places[what].copy()

    def is_left_out(self, name: str) -> bool:
        """Tell whether the operator wants no series of a task."""
        allow, deny = self._bounds.allow, self._bounds.deny
        return bool(allow and not _any_matches(name, allow)) or _any_matches(name, deny)

    def _bounded(self, what: str, value: str) -> str:
        label, places = self.clean(value), self._places[what]
        if not places.have(label):
            self._folded(what)
            return OTHER
        places.take(label)
        return label


def _any_matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
