"""The worst incidents, played on every submission: real workers, Prometheus, Alertmanager, and whoever is told.

`python -m tests.incidents` plays them all, on both versions of Prometheus.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.incidents.outcome import table
from tests.incidents.play import play
from tests.incidents.programme import EVERY, WORST
from tests.integration.stack.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.xdist_group("incidents"), pytest.mark.timeout(300)]

TIMES = 40
LONGEST = 30
"""Minutes that an incident lasts here, which are an hour for some."""


def test_each_of_the_worst_is_told_as_it_is_expected(tmp_path: Path) -> None:
    """Its cause is one page, in time, named, and resolved after its end; what follows from it is none."""
    outcomes, strays = play([incident() for incident in WORST], "3", TIMES, tmp_path, LONGEST)
    print(table(outcomes))  # noqa: T201  shown where it fails
    assert {each.incident.name: each.wrong() for each in outcomes if each.wrong()} == {}
    assert strays == []


def test_the_page_tells_of_each() -> None:
    """In the table that was printed, and in the one that says what each is."""
    rows = re.findall(r"(?m)^\| ([^|]+?) +\|", (ROOT / "docs" / "incidents.md").read_text())
    names = [each.name for each in EVERY]
    assert [row for row in rows if row in names] == names * 2


def test_the_worst_are_a_third() -> None:
    """Each is one of them all, each has a name of its own, and one page at most."""
    assert set(WORST) <= set(EVERY)
    assert len(WORST) >= len(EVERY) // 3
    assert len({each.name for each in EVERY}) == len(EVERY)
    assert [each for each in EVERY if len(each.pages) > 1] == []
