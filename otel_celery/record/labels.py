"""Label values: cleaned, cut, and bounded in number, so that no message can make series without end."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from otel_celery.lifecycle import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.settings import Bounds

MAX_QUEUES = 500
"""The operator names the queues that a worker consumes; this only keeps a mistake from growing without end."""


class Labels:
    """The label values of one worker."""

    def __init__(self, bounds: Bounds, folded: Callable[[str], None]) -> None:
        """``folded`` hears what kind of value was replaced by ``other`` because its bound was reached."""
        self._bounds = bounds
        self._folded = folded
        self._limits = {"task_name": bounds.task_names, "exception": bounds.exceptions, "queue": MAX_QUEUES}
        self._seen: dict[str, set[str]] = {what: set() for what in self._limits}

    def task_name(self, name: str) -> str:
        """Label a task; one that the operator left out is ``other``."""
        return OTHER if self._is_left_out(name) else self._bounded("task_name", name)

    def known_task_name(self, name: str) -> str:
        """Label a task as it was labelled when its books were opened; nothing new is taken up."""
        label = self.clean(name)
        return label if label in self._seen["task_name"] and not self._is_left_out(name) else OTHER

    def queue(self, name: str) -> str:
        """Label a queue."""
        return self._bounded("queue", name)

    def exception(self, name: str) -> str:
        """Label an exception's class; never its message, which may hold secrets."""
        return self._bounded("exception", name)

    def clean(self, value: str) -> str:
        """Cut a value, and replace lone surrogates: one of them would make every later scrape fail."""
        return value[: self._bounds.label_length].encode("utf-8", "replace").decode("utf-8") or OTHER

    def _is_left_out(self, name: str) -> bool:
        allow, deny = self._bounds.allow, self._bounds.deny
        return bool(allow and not _any_matches(name, allow)) or _any_matches(name, deny)

    def _bounded(self, what: str, value: str) -> str:
        label, seen = self.clean(value), self._seen[what]
        if label in seen or label == OTHER:
            return label
        if len(seen) >= self._limits[what]:
            self._folded(what)
            return OTHER
        seen.add(label)
        return label


def _any_matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
