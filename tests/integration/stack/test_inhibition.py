"""What alertmanager.yml keeps to itself: a real Alertmanager tells of a cause, and not of what follows from it.

Time goes a hundred times as fast (`tests.incidents.pace`), and each receiver is a webhook.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.incidents.pace import quickened
from tests.integration.stack.markdown import COMMANDS
from tests.integration.stack.servers import MONITORING, OK, Server, debian, start_alertmanager, wait_until
from tests.integration.stack.webhook import answered

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)

TIMES = 100
TRADING = {"job": "celery", "pool": "trading"}
WORKER = {**TRADING, "instance": "localhost:9101"}
SLOW = {"alertname": "CelerySuccessBudgetBurningSlowly", "severity": "warning"}
SCRAPES = {"alertname": "CeleryScrapeFailing", "severity": "warning"}

CRITICAL, WARNING = {"severity": "critical"}, {"severity": "warning"}
DOWN = {"alertname": "CeleryWorkerDown", **CRITICAL, "worker": "trading@localhost", **WORKER}
WITHOUT = {"alertname": "CeleryPoolWithoutWorkers", **CRITICAL, **TRADING}
FEW = {"alertname": "CeleryTooFewWorkers", **CRITICAL, **TRADING}
NEVER = {"alertname": "CeleryTooFewWorkers", **CRITICAL, "pool": "trading"}
MISSING = {"alertname": "CeleryTargetsMissing", **CRITICAL, "job": "celery"}
UNAVAILABLE = {
    "alertname": "CeleryPoolUnavailable",
    **CRITICAL,
    "job": "kube-state-metrics",
    "deployment": "celery-trading",
    "pool": "trading",
}
UNCONSUMED = {"alertname": "CeleryQueueNotConsumed", **CRITICAL, "queue": "orders", "pool": "trading"}
MISTYPED = {"alertname": "CeleryQueueNotConsumed", **CRITICAL, "queue": "tradign"}
GROWS = {"alertname": "CeleryQueueGrowing", **WARNING, "queue": "orders"}
AWAY = {"alertname": "CeleryBrokerAway", **CRITICAL}
DISCONNECTED = {"alertname": "CeleryBrokerDisconnected", **CRITICAL, "worker": "trading@localhost", **WORKER}
STUCK = {"alertname": "CeleryWorkerStuck", **CRITICAL, "worker": "trading@localhost", **WORKER}
REDIS = {"alertname": "RedisDown", **CRITICAL, "job": "redis", "instance": "localhost:9121"}
HUNG = {"alertname": "CeleryPoolHung", **CRITICAL, **TRADING}
LONG = {"alertname": "CeleryTaskRunningTooLong", **WARNING, "task_name": "orders.place", **WORKER}
POISON = {"alertname": "CeleryPoisonMessage", **CRITICAL, "task_name": "orders.place", **TRADING}
FAILS = {"alertname": "CeleryTaskFailing", **WARNING, "task_name": "orders.place", **TRADING}
LOST = {"alertname": "CeleryProcessesLost", **WARNING, "worker": "trading@localhost", **TRADING}
OFTEN = {"alertname": "CeleryTaskFailureRatioHigh", **WARNING, "task_name": "orders.place", **TRADING}
FAST = {"alertname": "CelerySuccessBudgetBurningFast", **CRITICAL, **TRADING}
LEAKS = {"alertname": "CelerySuccessBudgetLeaking", **WARNING, **TRADING}
MARKET = {"pool": "market"}
STAGING = {"env": "staging"}

CASES = {
    "a worker that is down has no other trouble": (
        DOWN,
        {**SCRAPES, **WORKER},
        ({**SCRAPES, **WORKER, "instance": "localhost:9201"}, {**SCRAPES, **WORKER, "job": "other"}),
    ),
    "nor has it lost processes": (
        DOWN,
        LOST,
        ({**LOST, "worker": "trading@other"}, {**LOST, **STAGING}, {**LOST, **MARKET}),
    ),
    "nor has its pool": (DOWN, WITHOUT, ({**WITHOUT, **MARKET}, {**WITHOUT, **STAGING})),
    "nor the queue that it consumed": (DOWN, UNCONSUMED, (MISTYPED, {**UNCONSUMED, **MARKET})),
    "a pool without workers consumes no queue": (WITHOUT, UNCONSUMED, (MISTYPED, {**UNCONSUMED, **STAGING})),
    "it has too few of them": (WITHOUT, FEW, ({**FEW, **MARKET}, {**FEW, **STAGING})),
    "also where the pool never had a target": (WITHOUT, NEVER, ({**NEVER, **MARKET},)),
    "a pod that is down makes its pool unavailable": (DOWN, UNAVAILABLE, ({**UNAVAILABLE, **MARKET},)),
    "a pool without a ready pod has no worker": (UNAVAILABLE, WITHOUT, ({**WITHOUT, **MARKET}, {**WITHOUT, **STAGING})),
    "nor enough of them": (UNAVAILABLE, FEW, ({**FEW, **MARKET},)),
    "without a target no pool has workers": (
        MISSING,
        WITHOUT,
        ({**WITHOUT, "job": "other"}, {**WITHOUT, **STAGING}),
    ),
    "nor enough": (MISSING, FEW, ({**FEW, "job": "other"},)),
    "without a broker no pod is ready": (AWAY, UNAVAILABLE, ({**UNAVAILABLE, **STAGING},)),
    "a broker that is away is one page": (AWAY, DISCONNECTED, ({**DISCONNECTED, **STAGING}, WITHOUT)),
    "also where it is a Redis": (AWAY, REDIS, ({**REDIS, **STAGING},)),
    "a worker that is stuck consumes no queue": (STUCK, UNCONSUMED, (MISTYPED, {**UNCONSUMED, **MARKET})),
    "a pod without a broker is not ready": (
        DISCONNECTED,
        UNAVAILABLE,
        ({**UNAVAILABLE, **MARKET}, {**UNAVAILABLE, **STAGING}),
    ),
    "a queue that nobody consumes grows": (UNCONSUMED, GROWS, ({**GROWS, "queue": "others"}, {**GROWS, **STAGING})),
    "a pool that hangs runs long": (HUNG, LONG, ({**LONG, **MARKET}, {**LONG, **STAGING})),
    "a message that kills fails its task": (POISON, FAILS, ({**FAILS, "task_name": "orders.audit"},)),
    "and loses processes": (POISON, LOST, ({**LOST, **MARKET},)),
    "what fails often fails": (OFTEN, FAILS, ({**FAILS, "task_name": "orders.audit"}, {**FAILS, **MARKET})),
    "a budget that burns fast burns slowly as well": (
        FAST,
        {**SLOW, **TRADING},
        ({**SLOW, **TRADING, "job": "other"}, {**SLOW, **TRADING, **MARKET}),
    ),
    "and one that burns slowly leaks": ({**SLOW, **TRADING}, LEAKS, ({**LEAKS, **MARKET}, {**LEAKS, **STAGING})),
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
    """Each has a case above whose cause and consequence it names."""
    for rule in alertmanager()["inhibit_rules"]:
        tried = [case for case, (cause, follows, _) in CASES.items()
                 if matches(rule["source_matchers"], cause) and matches(rule["target_matchers"], follows)]  # fmt: skip
        assert tried, rule


def test_every_list_of_labels_tells_environments_apart() -> None:
    """Each message's, and each inhibition's."""
    assert [labels for labels in lists(alertmanager()) if labels[-len(ENVIRONMENT) :] != ENVIRONMENT] == []


def test_one_command_adds_a_label_to_every_list(tmp_path: Path) -> None:
    """It stands in the guide, and at the head of the file: then amtool reads it, and nothing else has changed.

    Given once more it changes nothing, as where the label is there already; and it adds a second label as well.
    """
    (command,) = (line for line in COMMANDS if line.endswith(" alertmanager.yml") and line.startswith("sed"))
    head = (MONITORING / "alertmanager.yml").read_text().partition("route:")[0]
    shutil.copy(MONITORING / "alertmanager.yml", tmp_path)
    for each in (command, command, command.replace("region", "zone"), command.replace("region", "env")):
        subprocess.run(["bash", "-c", each], cwd=tmp_path, check=True)
    assert command in head
    amtool = [debian("amtool", "prometheus-alertmanager"), "check-config", str(tmp_path / "alertmanager.yml")]
    assert "SUCCESS" in subprocess.run(amtool, capture_output=True, text=True, check=True).stdout
    before = alertmanager()
    for labels in lists(before):
        labels[-1:] = ["region", "zone", "team"]
    assert alertmanager(tmp_path) == before


@pytest.mark.parametrize("cause", [DOWN, WITHOUT, FEW, UNAVAILABLE, AWAY, DISCONNECTED, HUNG, POISON])
def test_what_many_pools_have_at_once_is_one_message(cause: dict[str, str]) -> None:
    """A host, a broker, a database or a message that several pools share is one page, which lists them."""
    routes = alertmanager()["route"]["routes"]
    route = next(one for one in routes if matches(one["matchers"], cause))
    assert {"pool", "task_name", "worker"}.isdisjoint(route["group_by"])
    assert set(ENVIRONMENT) < set(route["group_by"])


ENVIRONMENT = ["cluster", "env", "namespace", "team"]
MATCHER = re.compile(r'(\w+)(=~|!=|=)"(.*)"')


def alertmanager(directory: Path = MONITORING) -> dict[str, Any]:
    """Read Alertmanager's configuration."""
    found: dict[str, Any] = yaml.safe_load((directory / "alertmanager.yml").read_text())
    return found


def lists(configuration: dict[str, Any]) -> list[list[str]]:
    """List the labels by which alerts are one message, and those that a cause and what follows from it share."""
    routes = [configuration["route"], *configuration["route"]["routes"]]
    return [one["group_by"] for one in routes if "group_by" in one] + [
        rule["equal"] for rule in configuration["inhibit_rules"]
    ]


def matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """Tell whether an alert with these labels is meant."""
    tests = {"=": lambda a, b: a == b, "!=": lambda a, b: a != b, "=~": lambda a, b: bool(re.fullmatch(b, a))}
    parts = [found.groups() for found in map(MATCHER.fullmatch, matchers) if found]
    assert len(parts) == len(matchers), matchers
    return all(tests[how](labels.get(label, ""), value) for label, how, value in parts)
