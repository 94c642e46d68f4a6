"""Every alert's unit test: promtool plays the series, and each alert fires, does not fire just below, and resolves.

`test_moved_alerts` tests that these tests would notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from otel_celery.serve.health import LOOP_STALE_SECONDS
from tests.integration.stack.histories import made, read, seconds
from tests.integration.stack.rulebook import PROMTOOLS, alerts, metrics, run
from tests.integration.stack.servers import MONITORING
from tests.integration.stack.units import CONDITIONS, UNITS, blocks, name_of, play

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("version", PROMTOOLS)
@pytest.mark.parametrize("unit", [*UNITS, *CONDITIONS], ids=lambda path: path.stem)
def test_alerts_fire_as_they_should(unit: Path, version: str, tmp_path: Path) -> None:
    """Labels and texts included; each with the rules that it reads."""
    assert play(tmp_path, blocks([unit]), version) == ""


def test_no_figure_counts_a_second_target_of_a_worker(tmp_path: Path) -> None:
    """Texts are the same where each worker answers at two addresses, but for what is about a target.

    What is recorded is looked at by `test_recorded`; here is what an alert makes of the workers' own series.
    """
    telling = {name: alert["expr"] for name, alert in alerts().items() if "$value" in str(alert["annotations"])}
    own = {name for name, expression in telling.items() if any(":" not in one for one in metrics(expression))}
    own -= {"CeleryNodeNameTwice", "CelerySeriesDropped", "PrometheusRulesFailing"}  # about targets, and Prometheus
    played = []
    for block, evaluation in blocks():
        told = [each["exp_labels"] for one in block["alert_rule_test"] for each in one["exp_alerts"]]
        if name_of(block) in own and not any("instance" in labels for labels in told):
            series = read(block)
            series += [one.labelled(instance=f"{where}9") for one in series
                       if one.label("pool") and (where := one.label("instance"))]  # fmt: skip
            again = made(block, series, block["alert_rule_test"], seconds(block["interval"]))
            played.append((again, evaluation))
    assert play(tmp_path, played, "3.13") == ""
    assert {"CeleryBrokerAway", "CeleryProcessesLost", "CeleryPublishFailures"} < {name_of(one) for one, _ in played}


def test_alerts_fire_as_they_should_among_all_rules() -> None:
    """As an operator plays the files. The shortest ones: all rules together take ten times as long."""
    done = run("3.13", "test", "rules", *(unit for unit in UNITS if unit.stem in {"documented", "publishers"}))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_plays_all_rules_in_their_order() -> None:
    """What is recorded is there when an alert looks."""
    order = [
        group["name"]
        for name in ("rules.yml", "alerts.yml")
        for group in yaml.safe_load((MONITORING / name).read_text())["groups"]
    ]
    for unit in [*UNITS, *CONDITIONS]:
        head = yaml.safe_load(unit.read_text())
        assert [(unit.parent / file).resolve() for file in head["rule_files"]] == [
            MONITORING / "rules.yml",
            MONITORING / "alerts.yml",
        ]
        assert head["group_eval_order"] == list(dict.fromkeys(order)), unit


def test_every_alert_is_seen_before_while_and_after_it_fires() -> None:
    """In one block of series each: silent, firing, and resolved (or told from one that is silent meanwhile)."""
    seen: set[str] = set()
    for block, _ in blocks():
        fires = [bool(check["exp_alerts"]) for check in block["alert_rule_test"]]
        if True in fires[:-1] and not fires[-1] and (not fires[0] or "for" not in alerts()[name_of(block)]):
            seen.add(name_of(block))
    assert seen == set(alerts())


def test_the_alert_on_a_stuck_worker_is_its_ports_verdict() -> None:
    """Both go by one measure, and by the same half a minute of it."""
    alert = alerts()["CeleryWorkerStuck"]
    assert alert["expr"].startswith(f"celery_worker_loop_stall_seconds > {LOOP_STALE_SECONDS:g} and ")
    assert "for" not in alert


def test_a_stuck_worker_is_found_within_a_minute() -> None:
    """The stall that is allowed, a scrape, and a look of the rules."""
    scrape = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["global"]["scrape_interval"]
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    (look,) = [group["interval"] for group in groups if any(r["alert"] == "CeleryWorkerStuck" for r in group["rules"])]
    assert LOOP_STALE_SECONDS + sum(int(interval.removesuffix("s")) for interval in (scrape, look)) <= 60
