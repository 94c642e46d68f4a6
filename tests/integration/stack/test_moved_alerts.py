"""The alerts' unit tests would notice: with each threshold and each `for` moved a little, they fail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.integration.stack.rulebook import UNITS, alert_of, alerts, recording_rules, run
from tests.integration.stack.servers import MONITORING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

THRESHOLD = re.compile(r"(?<=[<>] )(\d+(?:\.\d+)?)\b")
COUNTED = re.compile(r"changes\(|increase\(")
SHORT = {"1m", "2m"}


def threshold(nth: int, *, looser: bool) -> Callable[[dict[str, Any]], bool]:
    """Move the nth threshold of an alert: by a fifth, or by half where it counts a few events."""

    def move(alert: dict[str, Any]) -> bool:
        found = list(dict.fromkeys(number for number in THRESHOLD.findall(alert["expr"]) if float(number)))
        if nth >= len(found) or (looser and " * 0.01" in alert["expr"] and nth == 0):
            return False  # the two windows of a burn rate: one alone holds the other
        by = 0.5 if COUNTED.search(alert["expr"]) else 0.2
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
        alert["for"] = f"{int(float(alert['for'].removesuffix('m')) * 60 * (1 + share))}s"
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
    """For each alert that has such a limit, its unit tests fail, evaluated with no more rules than the alert needs."""
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    moved = {rule["alert"]: rule for group in groups for rule in group["rules"] if MOVES[move](rule)}
    files = [write_alone(alert, tmp_path) for alert in moved.values()]
    done = run("2.42", "test", "rules", *files)
    assert moved
    assert set(moved) - set(re.findall(r"alertname: ?(\w+), time", done.stdout + done.stderr)) == set()


def write_alone(alert: dict[str, Any], directory: Path) -> Path:
    """Write an alert's unit tests into a file of its own, with the alert and the rules that it reads."""
    name = alert["alert"]
    rules = directory / f"{name}.rules.yml"
    others = [other for other in alerts().values() if f'alertname="{other["alert"]}"' in alert["expr"]]
    group = {"name": name, "rules": [*others, alert]}
    read = recording_rules([*others, alert])
    rules.write_text(yaml.safe_dump({"groups": [*read, group]}, width=10_000))
    file = directory / f"{name}.yml"
    blocks = [block for unit in UNITS for block in yaml.safe_load(unit.read_text())["tests"] if name in alert_of(block)]
    file.write_text(yaml.safe_dump({"rule_files": [rules.name], "evaluation_interval": "30s", "tests": blocks}))
    return file
