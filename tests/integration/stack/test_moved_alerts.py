"""The alerts' unit tests would notice: with each threshold and each `for` moved a little, they fail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.incidents.pace import milliseconds
from tests.integration.stack.rulebook import alerts
from tests.integration.stack.units import blocks, name_of, play

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

THRESHOLD = re.compile(r"(?<=[<>] )(\d+(?:\.\d+)?)\b")
COUNTED = re.compile(r"changes\(|increase\(|:increase")
SHORT = {"1m", "2m"}


def threshold(nth: int, *, looser: bool) -> Callable[[dict[str, Any]], bool]:
    """Move the nth threshold of an alert: by a fifth; by half where it counts a few events, by one where targets."""

    def move(alert: dict[str, Any]) -> bool:
        found = list(dict.fromkeys(number for number in THRESHOLD.findall(alert["expr"]) if float(number)))
        if nth >= len(found) or (looser and " * 0.01" in alert["expr"] and nth == 0):
            return False  # the two windows of a burn rate: one alone holds the other
        by = 1 if alert["expr"].startswith("count ") else 0.5 if COUNTED.search(alert["expr"]) else 0.2
        moved = float(found[nth]) * (1 - by if looser else 1 + by)
        alert["expr"] = re.sub(rf"(?<=[<>] ){re.escape(found[nth])}\b(?!\.)", f"{moved:g}", alert["expr"])
        return True

    return move


def patience(by: float) -> Callable[[dict[str, Any]], bool]:
    """Move an alert's ``for``: by a share of it, or by half where it is short."""

    def move(alert: dict[str, Any]) -> bool:
        if "for" not in alert:
            return False
        by_half = 0.5 if by > 0 else -0.5
        share = by_half if alert["for"] in SHORT else by
        alert["for"] = f"{int(milliseconds(alert['for']) / 1000 * (1 + share))}s"
        return True

    return move


MOVES = {
    "first threshold looser": threshold(0, looser=True),
    "first threshold tighter": threshold(0, looser=False),
    "second threshold looser": threshold(1, looser=True),
    "second threshold tighter": threshold(1, looser=False),
    "for shorter": patience(-0.2),
    "for longer": patience(0.2),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_moved_limit_is_noticed(move: str, tmp_path: Path) -> None:
    """For each alert that has such a limit, its unit tests fail."""
    moved = {name: alert for name, alert in alerts().items() if MOVES[move](alert)}
    wrong = play(tmp_path, [one for one in blocks() if name_of(one[0]) in moved], "3.13", moved)
    assert moved
    assert set(moved) - set(re.findall(r"alertname: ?(\w+), time", wrong)) == set()
