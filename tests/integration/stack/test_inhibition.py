"""What alertmanager.yml keeps to itself: a real Alertmanager tells of a cause, and not of what follows from it.

Time goes a hundred times as fast (`intervals`), and each receiver is a webhook.
"""

from __future__ import annotations

import json
import urllib.request
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.integration.stack.intervals import quickened
from tests.integration.stack.servers import MONITORING, OK, Server, start_alertmanager, wait_until
from tests.integration.stack.webhook import answered

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)

TIMES = 100
TRADING = {"job": "celery", "pool": "trading"}
WORKER = {**TRADING, "instance": "localhost:9101"}
SLOW = {"alertname": "CelerySuccessBudgetBurningSlowly", "severity": "warning"}
SCRAPES = {"alertname": "CeleryScrapeFailing", "severity": "warning"}

CASES = {
    "a worker that is down has no other trouble": (
        {"alertname": "CeleryWorkerDown", "severity": "critical", "worker": "trading@localhost", **WORKER},
        {**SCRAPES, **WORKER},
        (
            {**SCRAPES, **WORKER, "instance": "localhost:9201"},
            {**SCRAPES, **WORKER, "job": "other"},
            {"alertname": "CeleryPoolWithoutWorkers", "severity": "critical", **TRADING},
        ),
    ),
    "a budget that burns fast burns slowly as well": (
        {"alertname": "CelerySuccessBudgetBurningFast", "severity": "critical", **TRADING},
        {**SLOW, **TRADING},
        ({**SLOW, **TRADING, "job": "other"}, {**SLOW, **TRADING, "pool": "market"}),
    ),
}
"""A cause; what follows from it; and what does not, of which the first would be in one message with what follows."""


def send(alertmanager: Server, *alerts: dict[str, str], over: bool = False) -> None:
    """Send alerts as Prometheus does; ``over`` says that they are."""
    now = datetime.now(timezone.utc).isoformat()
    body = json.dumps([{"labels": labels, **({"endsAt": now} if over else {})} for labels in alerts]).encode()
    request = urllib.request.Request(f"{alertmanager.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == OK


def causes(alertmanager: Server, alert: dict[str, str]) -> list[dict[str, str]]:
    """List the alerts that Alertmanager says inhibit this one."""
    found = {one["fingerprint"]: one for one in json.loads(alertmanager.get("/api/v2/alerts")[1])}
    (status,) = (one["status"] for one in found.values() if one["labels"] == alert)
    return [found[fingerprint]["labels"] for fingerprint in status["inhibitedBy"]]


@pytest.mark.parametrize("case", CASES)
def test_what_follows_is_told_only_once_its_cause_is_over(case: str, tmp_path: Path) -> None:
    """While the cause fires everything else is told, and that not; when the cause is over and it goes on, it is."""
    cause, follows, others = CASES[case]
    with answered() as webhook:
        routes = quickened((MONITORING / "alertmanager.yml").read_text(), TIMES)
        with start_alertmanager(webhook.in_place_of_receivers(routes), tmp_path) as alertmanager:
            send(alertmanager, cause)
            webhook.told("firing", 0, **cause)
            send(alertmanager, follows, *others)
            for other in others:
                webhook.told("firing", 0, **other)
            wait_until(lambda: causes(alertmanager, follows) == [cause], f"{cause} is why nobody is told of {follows}")
            assert follows not in [alert["labels"] for alert in webhook.alerts]
            send(alertmanager, cause, over=True)
            webhook.told("firing", 0, **follows)


def test_each_rule_of_inhibition_is_tried() -> None:
    """The causes above are those of alertmanager.yml."""
    rules = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())["inhibit_rules"]
    sources = {matcher for rule in rules for matcher in rule["source_matchers"]}
    assert sources == {f'alertname="{cause["alertname"]}"' for cause, _, _ in CASES.values()}
