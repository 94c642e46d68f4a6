"""The objective: how fast each pool spends the failures that it may have, and what is left of them."""

from __future__ import annotations

from typing import Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import MOST, Vector, recorded, series
from devops.monitoring.dashboard.style import GREEN, ORANGE, RATIO, RED, Query, bars, coloured, limited, lines
from devops.monitoring.dashboard.tables import Column, table
from otel_celery import catalogue

TITLE = "SLO and Burn Rate"
QUIET = "Nothing finished lately, or Prometheus does not load rules.yml"
FAST, SLOW = 14.4, 6
"""Burn rates from which on CelerySuccessBudgetBurningFast and ...Slowly fire."""
WINDOWS = ("5m", "30m", "1h", "6h", "3d")


def panels() -> list[Any]:
    """Make the row's panels."""
    return [_burning().span(10), _windows().span(8), _left().span(6)]


def _burning() -> Any:
    queries = (
        Query(
            Vector(f"({_failed(window).highest('max', 'pool')}) / $budget", frozenset(("pool",))),
            f"{{{{pool}}}} {window}",
        )
        for window in ("1h", "6h")
    )
    panel = lines(
        "Burn Rate",
        "How many times faster than allowed each pool fails: at 1 it uses up just what the objective leaves it, which "
        f"the constant budget says. From {SLOW} over six hours and {FAST:g} over one hour on an alert fires.",
        *queries,
        unit="suffix:times",
        nothing=QUIET,
    )
    return (
        limited(panel, (SLOW, ORANGE), (FAST, RED))
        .data_links([links.narrowed("pool")])
        .links(links.runbook("CelerySuccessBudgetBurningFast", "CelerySuccessBudgetBurningSlowly"))
    )


def _windows() -> Any:
    return table(
        "Failures by Window",
        "The share that failed of the tasks that finished, over each window that the alerts look at.",
        [Column(window, RATIO, _failed(window)) for window in reversed(WINDOWS)],
        heads={"pool": "Pool"},
        nothing=QUIET,
        sorted_by=WINDOWS[-1],
    ).links(links.runbook("CelerySuccessBudgetBurningSlowly", "CelerySuccessBudgetLeaking"))


def _left() -> Any:
    failed, succeeded = (
        series(metric).growth("$__range").total("pool") for metric in (catalogue.FAILED, catalogue.SUCCEEDED)
    )
    left = Vector(f"1 - {failed} / ({failed} + {succeeded} > 0) / $budget", failed.labels)
    panel = bars(
        "Budget Left",
        "How much of the failures that the objective allows is left, had it to hold over the time shown: set that to "
        f"30 days. Below 0 it is broken. The {MOST} pools with the least.",
        Query(left.bottom(MOST), "{{pool}}"),
        unit=RATIO,
        nothing="Nothing has finished in the time shown",
    ).max(1)
    return coloured(panel, RED, (0, ORANGE), (0.5, GREEN)).data_links([links.narrowed("pool")])


def _failed(window: str) -> Vector:
    return recorded("pool", catalogue.FAILED, f"ratio_rate{window}", per="_per_finished")
