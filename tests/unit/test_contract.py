"""The page of the contract says what the code does: the documented metrics, the closed label values, and the bounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_celery import catalogue
from otel_celery.lifecycle import Exit, Limit, Loss, Outcome, Revocation, Unknown, Where
from otel_celery.record.labels import MAX_QUEUES
from otel_celery.record.reference import exported_name
from otel_celery.record.tallies import PAIRS_PER_TASK_NAME
from otel_celery.settings.settings import Bounds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import Enum

PAGE = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")
FOLDED = ("task_name", "exception", "queue")


def section(title: str) -> str:
    """Give what stands under a heading."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(title: str) -> list[list[str]]:
    """Read the rows of a section's tables, without their heads."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    rows = [line.strip("| ").split(" | ") for line in lines]
    return [row for row in rows if row[0].startswith("`") or row[0][0].isalpha()]


def test_the_documented_metrics_are_the_catalogues() -> None:
    """Each with its kind and its labels, in the same order, and no other."""
    rows = [row for row in cells("What never changes") if row[0].startswith("`")]
    expected = [
        [f"`{exported_name(metric)}`", metric.kind.value, ", ".join(metric.attributes)]
        for metric in catalogue.METRICS
        if metric.documented
    ]
    assert rows == expected


def values_of(words: Iterable[Enum]) -> list[str]:
    """List the label values of an enumeration."""
    return [str(word.value) for word in words]


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        (catalogue.TASKS, [value for value in values_of(Outcome) if value != Outcome.RETURNED.value]),
        (catalogue.REVOKED, values_of(Revocation)),
        (catalogue.TIMEOUTS, values_of(Limit)),
        (catalogue.PROCESS_EXITS, values_of(Exit)),
        (catalogue.MESSAGES_UNKNOWN, values_of(Unknown)),
        (catalogue.INTERNAL_ERRORS, values_of(Where)),
        (catalogue.FOLDED, list(FOLDED)),
        (catalogue.RELAY_DROPPED, values_of(Loss)),
    ],
    ids=lambda found: found.name if isinstance(found, catalogue.Metric) else "",
)
def test_closed_label_values_are_the_codes(metric: catalogue.Metric, values: list[str]) -> None:
    """Under the label that the metric has, in the same order."""
    (row,) = [row for row in cells("Closed label values") if row[1] == f"`{exported_name(metric)}`"]
    assert row[0] == f"`{metric.attributes[-1]}`"
    assert re.sub(r" \([^)]*\)", "", row[2]).split(", ") == values


def test_each_reason_of_a_loss_is_explained() -> None:
    """What a task recorded and nobody sees has one sentence a reason."""
    explained = [row[0] for row in cells("Closed label values") if len(row) == 2 and row[0].startswith("`")]
    assert explained == [f"`{value}`" for value in values_of(Loss)]


def test_the_bounds_are_the_defaults() -> None:
    """The numbers of the table, and the histograms' bounds, are those of the code."""
    found = {row[0]: int(re.findall(r"\d+", row[1])[0]) for row in cells("Bounds") if row[0] != "bound"}
    bounds = Bounds()
    assert found == {
        "task names": bounds.task_names,
        "exception classes": bounds.exceptions,
        "queues of messages": MAX_QUEUES,
        "pairs of task and queue": PAIRS_PER_TASK_NAME,
        "length of a label value": bounds.label_length,
    }
    assert " ".join(f"{bound:g}" for bound in catalogue.BUCKETS) in " ".join(PAGE.split())
