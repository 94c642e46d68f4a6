"""The words that the rooms share, and the guard that keeps our mistakes from the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_celery.lifecycle import OTHER, Exit, Limit, Loss, Outcome, Revocation, Unknown, Where, guarded

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import Enum

    from otel_celery.observers import TaskObserver


class Listener:
    """Hears of what was swallowed."""

    wants_traces = False

    def __init__(self) -> None:
        """Have heard nothing."""
        self.heard: list[tuple[Where, Exception]] = []

    def task(self, name: str, queue: str) -> TaskObserver:
        """Keep no books."""
        raise NotImplementedError(name, queue)

    def expect(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Expect none."""

    def message_unknown(self, reason: Unknown) -> None:
        """Listen to something else."""

    def process_exited(self, reason: Exit) -> None:
        """Listen to something else."""

    def reconnected(self) -> None:
        """Listen to something else."""

    def swallowed(self, where: Where, error: Exception) -> None:
        """Hear."""
        self.heard.append((where, error))


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (Outcome, ["success", "failure", "retry", "rejected", "ignored", "revoked", "unreported", "returned"]),
        (Revocation, ["revoked", "expired", "terminated"]),
        (Limit, ["soft", "hard"]),
        (Unknown, ["unknown_task", "undecodable", "invalid"]),
        (Exit, ["recycled", "killed", "exited", "timed_out"]),
        (Where, ["request", "consumer", "children", "relay", "levels", "port", "push", "publish", "queues", "beat"]),
        (Loss, ["torn", "malformed", "limit", "mismatch", "unsupported", "value", "name"]),
    ],
)
def test_each_word_is_a_label_value(words: type[Enum], values: list[str]) -> None:
    """The enumerations hold the label values of the contract, and no others."""
    assert [word.value for word in words] == values


def test_what_cannot_be_told_is_other() -> None:
    """There is one word for everything that has no label of its own."""
    assert OTHER == "other"


def test_a_guarded_report_is_made() -> None:
    """A report that does not fail is passed on with its arguments."""
    listener, heard = Listener(), list[object]()
    guarded(listener, Where.REQUEST, heard.append, "news")
    assert heard == ["news"]
    assert listener.heard == []


def test_a_report_that_raises_is_swallowed_and_told() -> None:
    """An exception of ours goes to the observer with its place, and to nobody else."""
    listener, error = Listener(), ValueError("broken")

    def report() -> None:
        raise error

    guarded(listener, Where.CHILDREN, report)
    assert listener.heard == [(Where.CHILDREN, error)]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_is_not_swallowed(stop: type[BaseException]) -> None:
    """An interrupt that arrives during a report still interrupts."""
    listener = Listener()

    def report() -> None:
        raise stop

    with pytest.raises(stop):
        guarded(listener, Where.PORT, report)
    assert listener.heard == []
