"""What fires now: our alerts, as Prometheus holds them."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.alerts import alerts
from devops.monitoring.dashboard.promql import Vector
from devops.monitoring.dashboard.style import COUNT, ORANGE, RED, SECONDS
from devops.monitoring.dashboard.tables import Column, table

COLOURS = {"critical": RED, "warning": ORANGE}
QUIET = "No alert fires"
NUMBER = "Nr"

WHAT = {"alertname": "Alert", "severity": "Severity"}


def firing() -> Any:
    """Count the alerts that fire, by name."""
    held = alerts("ALERTS", 'alertstate="firing"')
    panel = table(
        "Firing Alerts",
        "The alerts that Prometheus holds to be firing, those that page first, and how many of each. Only ours, about "
        "the jobs that are chosen.",
        (Column(NUMBER, COUNT, held.by("count", *WHAT)),),
        heads=WHAT,
        nothing=QUIET,
    )
    small = [DynamicConfigValue("custom.width", 44), DynamicConfigValue("custom.align", "center")]
    return _by_severity(panel).override_by_name(NUMBER, small).links(links.runbook_whole())


def whom_it_concerns(matcher: str, **whom: str) -> Any:
    """Name what else than the one each alert that fires is about, by the heads of these labels, and since when."""
    heads = {**WHAT, **whom}
    held = alerts("ALERTS", 'alertstate="firing"', matcher)
    since = alerts("ALERTS_FOR_STATE", matcher).by("max", *heads)
    firing_since = Vector(f"time() - {since} and {held.by('max', *heads)}", since.labels)
    panel = table(
        "Firing Alerts in Detail",
        "What each alert that fires is about, and for how long its condition has held.",
        (Column("For", SECONDS, firing_since),),
        heads=heads,
        nothing=QUIET,
    )
    return _by_severity(panel).links(links.runbook_whole())


def _by_severity(panel: Any) -> Any:
    """Give each row the colour of its severity, and put those that page first."""
    options = {
        name: {"text": name, "color": colour, "index": index} for index, (name, colour) in enumerate(COLOURS.items())
    }
    coloured = [
        DynamicConfigValue("mappings", [{"type": "value", "options": options}]),
        DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic", "applyToRow": True}),
        DynamicConfigValue("custom.width", 78),
    ]
    return panel.override_by_name("Severity", coloured).sort_by(
        [common.TableSortByFieldState().display_name("Severity")]
    )
