"""The program that mutates the rules: what it changes, and that it notices; it is run whole on demand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.integration.stack.rulebook import rules
from tests.integration.stack.units import RULES
from tests.mutations.__main__ import ALERTS, RECORDS, unnoticed
from tests.mutations.expression import mutations
from tests.mutations.known import KNOWN, ONE_TEXT, reason_for
from tests.mutations.variants import noticed

if TYPE_CHECKING:
    from pathlib import Path

CASES = {
    "rate(x_total[5m]) > 0.1": [
        "rate(x_total[5m]) > 0.05",
        "rate(x_total[5m]) > 0.2",
        "rate(x_total[ 150000ms ]) > 0.1",
        "rate(x_total[ 600000ms ]) > 0.1",
    ],
    'x{a="1", b=~"2 and 3"} == 0': ['x{a="1", b=~"2 and 3"} >= 0', 'x{ b=~"2 and 3"} == 0', 'x{a="1", } == 0'],
    "a and b unless on (l) c": ["a unless on (l) c", "a and b"],
    "0 * (a or b and c or d) + e": [
        "0 * (a or d) + e",
        "0 * ( b and c or d) + e",
        "0 * (a or b or d) + e",
        "0 * (a or b and c ) + e",
    ],
    "max(a[1m]) - max(b[1m] offset 1m)": [
        "max(a[ 30000ms ]) - max(b[ 30000ms ] offset 30000ms )",
        "max(a[ 120000ms ]) - max(b[ 120000ms ] offset 120000ms )",
    ],
}


@pytest.mark.parametrize("expression", CASES)
def test_one_thing_is_changed(expression: str) -> None:
    """A number, a duration wherever it stands, a matcher, or a condition, whose brackets stay whole."""
    assert [each.expression for each in mutations(expression)] == CASES[expression]


def test_a_mutation_is_noticed_and_what_is_committed_is_not(tmp_path: Path) -> None:
    """Of an alert, and of what it reads."""
    alert = {"alert": "Much", "expr": "pool:x:max > 5", "labels": {"severity": "warning"}}
    checks = [
        {"eval_time": f"{at}m", "alertname": "Much", "exp_alerts": [{"exp_labels": labels}] if at else []}
        for at, labels in ((0, {}), (1, {"severity": "warning", "pool": "p"}))
    ]
    block = {
        "interval": "1m",
        "input_series": [{"series": 'pool:x:max{pool="p"}', "values": "5 6"}],
        "alert_rule_test": checks,
    }
    expressions = {1: "pool:x:max > 4", 2: "pool:x:max > 5.5", 3: "pool:x:max > 6"}
    assert noticed(tmp_path, alert, None, expressions, [(block, 60)]) == {1, 3}


def test_the_counts_of_a_quarter_of_an_hour_have_one_text() -> None:
    """So what holds one of them holds all."""
    for name, others in ONE_TEXT.items():
        assert {plain(RECORDS[each]) for each in others} == {plain(RECORDS[name])}


def test_what_is_published_and_what_beat_sends_is_counted_by_one_text() -> None:
    """So what holds CeleryPublishFailures holds CeleryBeatEntryLate, but for what each makes of its counts."""
    published, sent = (plain(ALERTS[name]["expr"]) for name in ("CeleryPublishFailures", "CeleryBeatEntryLate"))
    count = published[published.index("increase(COUNT") : published.index(', "publisher"')]
    assert "otel_celery_start_timestamp_seconds" in count
    assert sent == f"histogram_quantile(1, sum without ( {count})) > 30"


def plain(expression: str) -> str:
    """Take away what a count is about: its name, its labels and its matcher."""
    name = r"celery_task_\w+_total|\w+:celery_task_\w+:sum|celery_beat_lag_seconds_bucket"
    expression = re.sub(rf"\b({name})(\{{[^}}]*\}})?", "COUNT", expression)
    expression = re.sub(r"(without|ignoring) \([^)]*\)", r"\1", expression)
    return " ".join(expression.replace("unless ignoring", "unless").split())


def test_each_exception_is_one() -> None:
    """It is of a rule that there is, and some mutation of it is meant."""
    every = {name: mutations(expression) for name, expression in RECORDS.items()}
    every |= {name: mutations(alert["expr"]) for name, alert in ALERTS.items()}
    found = {reason_for(name, each) for name, some in every.items() for each in some}
    assert set(range(len(KNOWN))) <= found
    assert None in found
    assert len(rules(RULES.read_text())) == len(RECORDS)


def test_what_holds_an_alert_is_noticed() -> None:
    """Of one alert and of one series, for the program as a whole."""
    for name in ("CeleryWorkerDrainingTooLong", "pool:celery_worker_draining:max"):
        assert unnoticed(name) == []
