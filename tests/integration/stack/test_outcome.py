"""What a program that plays incidents says of them: whatever is not as it is expected is told of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.incidents.incident import Incident
from tests.incidents.outcome import Outcome, Told, expectation, table, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

DOWN = {"alertname": "Down", "worker": "w", "env": "dead"}


class Dead(Incident):
    """A worker dies."""

    name = "dead"
    pages = {"Down": 3}
    warns = {"Slow": 20}
    may_warn = frozenset({"Flapping"})
    kept_back = frozenset({"Empty"})
    names = {"worker": "w"}


def told(alert: str, receiver: str = "team", after: float = 2, resolved: float | None = 14, **labels: str) -> Told:
    """Make what somebody was told."""
    return Told(alert, receiver, {"worker": "w", **labels}, after, resolved)


PAGE, SLOW = told("Down", "pager"), told("Slow")
CASES: dict[str, tuple[Sequence[Told], set[str], list[str]]] = {
    "as expected": ((PAGE, SLOW), {"Empty"}, []),
    "with what may come": ((PAGE, SLOW, told("Flapping"), told("Flapping", worker="v")), {"Empty"}, []),
    "no page": ((SLOW,), {"Empty"}, ["Down was not told"]),
    "a page for the wrong one": ((told("Down", worker="w"), SLOW), {"Empty"}, ["Down was not told", "Down was told"]),
    "late": ((told("Down", "pager", 3.5), SLOW), {"Empty"}, ["Down was told after 3.5 minutes, not within 3"]),
    "too early": ((told("Down", "pager", -1), SLOW), {"Empty"}, ["Down was told after -1.0 minutes, not within 3"]),
    "another name": ((told("Down", "pager", worker="v"), SLOW), {"Empty"}, ["Down has worker='v', not 'w'"]),
    "two pages": ((PAGE, PAGE, SLOW), {"Empty"}, [f"Down was told 2 times: {[{'worker': 'w'}] * 2}"]),
    "more than that": ((PAGE, SLOW, told("Other", "pager")), {"Empty"}, ["Other was told"]),
    "not kept back": ((PAGE, SLOW), set(), ["Empty did not fire, or was told"]),
    "never over": (
        (told("Down", "pager", resolved=None), SLOW),
        {"Empty"},
        ["Down was not resolved within 30 minutes of the end"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_as_expected_is_told_of(case: str) -> None:
    """Each in one sentence, and nothing where all is well."""
    given, silent, wrong = CASES[case]
    outcome = Outcome(Dead(), 12, given, frozenset({"Down", "Slow", *silent}))
    assert outcome.wrong() == wrong
    assert table([outcome]).rstrip(" |").endswith("no" if wrong else "yes")


def test_the_table_says_what_was_expected_and_when_each_alert_ended() -> None:
    """Beside what was told; an end counts from the incident's, and one that is before it is none to wait for."""
    assert expectation(Dead) == "Down within 3, Slow within 20, perhaps Flapping, Empty kept back"
    assert expectation(Incident) == "nothing"
    one = Outcome(Dead(), 12, (PAGE,), frozenset({"Down"}))
    both = Outcome(Dead(), 12, (PAGE, told("Slow", resolved=None), told("Flapping", resolved=11)), frozenset())
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table([one, both]).splitlines()]
    assert cells[2][1:6] == [expectation(Dead), "Down after 2.0", "none", "none", "after 2.0"]
    assert cells[3][5] == "Down after 2.0, Slow never, Flapping after 0.0"


def test_an_incident_that_could_not_be_played_is_wrong() -> None:
    """Whatever was told."""
    assert Outcome(Dead(), 12, (PAGE, SLOW), frozenset({"Empty"}), ["OSError: no"]).wrong() == ["OSError: no"]


def test_messages_become_alerts_in_minutes() -> None:
    """The first message of an alert counts, its last resolution, and one that fires again is not over."""
    other = {**DOWN, "worker": "v"}

    def message(status: str, at: float, labels: dict[str, str]) -> dict[str, Any]:
        return {"status": status, "at": at, "labels": labels, "receiver": "pager"}

    messages = [
        message("firing", 102, DOWN),
        message("firing", 104, DOWN),
        message("resolved", 110, DOWN),
        message("resolved", 111, other),
        message("firing", 112, other),
    ]
    first, second = tell([*messages[:3], message("firing", 101, other), *messages[3:]], 100, 30)
    assert (first.alert, first.labels, first.after, first.resolved) == ("Down", DOWN, 1.0, 5.0)
    assert (second.after, second.resolved) == (0.5, None)
