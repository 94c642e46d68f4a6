"""Every duration is divided by one number, in each of the committed files, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.incidents.pace import DURATIONS, divided, milliseconds, quickened, quicker

if TYPE_CHECKING:
    from collections.abc import Iterator

MONITORING = Path(__file__).parents[3] / "devops" / "monitoring"
FILES = ("prometheus.yml", "alerts.yml", "rules.yml", "expectations.yml", "alertmanager.yml")
CASES = {
    'sum(rate(x_total{a="5m 60"}[5m] offset 15m)) > 0.1': 'sum(rate(x_total{a="5m 60"}[5000ms] offset 15000ms)) > 6',
    "time() - max_over_time(x_timestamp_seconds[1d:15s]) > 180":
        "time() - max_over_time(x_timestamp_seconds[1440000ms:250ms]) > 3",
    "x5m:rate5m > 2 and p99 > 0.5": "x5m:rate5m > 2 and p99 > 0.5",
    "x_total > 20 or y_seconds > 3600": "x_total > 20 or y_seconds > 60",
}  # fmt: skip


@pytest.mark.parametrize("expression", CASES)
def test_an_expression_is_at_another_pace(expression: str) -> None:
    """Ranges, offsets and seconds are shorter, rates higher; texts, names and counts stay."""
    assert quicker(expression, 60) == CASES[expression]


@pytest.mark.parametrize("name", FILES)
def test_a_committed_file_differs_by_its_durations_alone(name: str) -> None:
    """At its own pace it is what it was, and at another one nothing but durations and expressions differ."""
    text = (MONITORING / name).read_text()
    paces = (text, quickened(text, 1), quickened(text, 30))
    before, same, after = (list(leaves(yaml.safe_load(each))) for each in paces)
    assert [value for key, value in same if key not in DURATIONS | {"expr"}] == [
        value for key, value in before if key not in DURATIONS | {"expr"}
    ]
    for (key, was), (_, unchanged), (_, quick) in zip(before, same, after, strict=True):
        if key in DURATIONS:
            assert milliseconds(unchanged) == milliseconds(was)
            assert milliseconds(quick) == milliseconds(was) // 30
        elif key != "expr":
            assert quick == was


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_left_at_the_old_pace(name: str) -> None:
    """Each range of a committed expression is in milliseconds; a pace there and back gives the same file."""
    text = (MONITORING / name).read_text()
    there = quickened(text, 1 / 2)
    assert [value for key, value in leaves(yaml.safe_load(there)) if key == "expr" and "m]" in value] == []
    assert quickened(there, 2) == quickened(text, 1)


def test_a_duration_is_never_nothing() -> None:
    """A scale that is too short leaves a millisecond; what is no duration is told of."""
    assert divided("10s", 100_000) == "1ms"
    with pytest.raises(ValueError, match="no duration"):
        divided("soon", 2)


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Give each value that holds no others, with its key."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, key)
    else:
        yield key, value
