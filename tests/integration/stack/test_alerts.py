"""Every alert's unit test: promtool plays the series, and each alert fires, does not fire just below, and resolves.

`test_moved_alerts` tests that these tests would notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from otel_celery.serve.health import LOOP_STALE_SECONDS
from tests.integration.stack.rulebook import PROMTOOLS, UNITS, alert_of, alerts, run
from tests.integration.stack.servers import MONITORING

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("version", PROMTOOLS)
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_alerts_fire_as_they_should(unit: Path, version: str) -> None:
    """Labels and texts included."""
    done = run(version, "test", "rules", unit)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_before_while_and_after_it_fires() -> None:
    """In one block of series each: silent, firing, and resolved (or told from one that is silent meanwhile)."""
    seen: set[str] = set()
    for block in (block for unit in UNITS for block in yaml.safe_load(unit.read_text())["tests"]):
        checks = block["alert_rule_test"]
        assert len(alert_of(block)) == 1, block["name"]
        fires = [bool(check["exp_alerts"]) for check in checks]
        if True in fires[:-1] and not fires[-1] and (not fires[0] or "for" not in alerts()[checks[0]["alertname"]]):
            seen.add(checks[0]["alertname"])
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
