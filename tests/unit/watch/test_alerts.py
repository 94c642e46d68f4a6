"""What the package knows of the alerts is what alerts.yml and RUNBOOK.md say."""

from __future__ import annotations

import pytest
import yaml

from devops.monitoring import watched
from otel_celery.watch import alerts
from otel_celery.watch.conditions.table import CONDITIONS, UNSEEN


def test_the_table_is_made_of_the_files() -> None:
    """`make generated` writes it; whoever changes a limit or a first step has to run it."""
    assert alerts.TABLE.read_text("utf-8") == watched.text()


def test_each_limit_is_in_the_alerts_expression() -> None:
    """As alerts.yml has it: HighTaskFailureRate's is 0.1 failures a second, for five minutes."""
    rules = {rule["alert"]: rule for rule in watched._rules("alerts.yml")}
    alert = alerts.read()["HighTaskFailureRate"]
    assert rules["HighTaskFailureRate"]["expr"] == "rate(celery_task_failed_total[5m]) > 0.1"
    assert (alert.limits, alert.window, alert.after, alert.severity) == ((0.1,), 300, 300, "warning")


def test_every_alert_is_judged_or_said_to_be_unseen() -> None:
    """A new alert has a condition here, or a reason why it has none; and none has both."""
    assert set(alerts.read()) == CONDITIONS.keys() | UNSEEN.keys()
    assert not CONDITIONS.keys() & UNSEEN.keys()


def test_a_first_step_is_a_sentence_and_a_command() -> None:
    """The first command of the runbook's look, without its prompt and remark; a query of Prometheus's is none."""
    known = alerts.read()
    assert (known["CeleryWorkerDown"].look, known["CeleryWorkerDown"].command) == (
        "Does the process live?",
        "pgrep -af 'celery.*worker'",
    )
    assert all(alert.look and alert.do for alert in known.values())


def test_what_points_to_another_section_says_what_stands_there() -> None:
    """At night nobody wants to be sent on."""
    known = alerts.read()
    assert known["CeleryTaskFailureRatioHigh"].do == known["HighTaskFailureRate"].do
    assert known["CeleryTaskFailureRatioHigh"].look == known["HighTaskFailureRate"].look


@pytest.mark.parametrize(
    ("rule", "limits", "window"),
    [
        ("expr: increase(a_total{le='5'}[15m]) > 2.5", [2.5], 900),
        ("expr: a:b:rate5m > 14.4 * 0.01 and c == 1", [0.144], 300),
        ("expr: avg_over_time(a:rate5m[1h]) > 5.5 and b > 0.5 * c", [5.5, 0.5], 3600),
        ("expr: up == 0", [], 0),
    ],
)
def test_numbers_are_read_from_expressions(rule: str, limits: list[float], window: int) -> None:
    """Of states (== 1) and of anything at all (> 0) there is no limit; a window of its own goes first."""
    judged = watched._judged({**yaml.safe_load(rule), "labels": {"severity": "warning"}})
    assert (judged["limits"], judged["window"]) == (limits, window)
