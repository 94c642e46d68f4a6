"""Each alert's unit test, played elsewhere too: its outcome is the same, or another environment's business.

The histories are those of devops/monitoring/tests. Checks of texts are left to `test_alerts`. Each test names, and
asserts, what it leaves out.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.stack import units
from tests.integration.stack.histories import SHARED, Series, check, made, moved, read, seconds
from tests.integration.stack.markdown import commands
from tests.integration.stack.rulebook import alerts, rules
from tests.integration.stack.servers import MONITORING
from tests.integration.stack.units import bare, blocks, checks_of, name_of, restarted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.integration.stack.units import Block

    Check = tuple[int, list[dict[str, str]]]

pytestmark = pytest.mark.timeout(600)

PRODUCTION, STAGING = {"env": "production"}, {"env": "staging"}
NOWHERE = {"no target at all, of this job; five minutes of it"}
"""Where nothing has ever been seen, nobody knows of which environment."""
NEVER_WELL = {"CeleryNodeNameTwice"}
"""What two targets that are up are about."""
OF_TWO = {"CeleryNodeNameTwice", "CeleryTooFewWorkers"}
"""What counts workers; their own histories have two."""
SLACK = {"CeleryWorkerStuck": 2}
"""Scrapes by which an outcome may be early or late, of what looks at two of them; of all else it is one."""
OTHER = {"instance": "10.0.0.2:9101"}


def play(directory: Path, played: Iterable[tuple[Block, int]], files: Path = MONITORING) -> str:
    """Have promtool play blocks by a directory's files, without the alerts' texts; return what it says is wrong."""
    known = {rule["alert"]: bare(rule) for rule in rules((files / "alerts.yml").read_text())}
    return units.play(directory, played, "3.13", known, files / "rules.yml")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Name the blocks whose alert does not fire where all is well."""
    still = [(made(block, well(block), [check(at, name_of(block), []) for at, _ in checks_of(block)],
              seconds(block["interval"])), evaluation) for block, evaluation in blocks()]  # fmt: skip
    wrong = play(tmp_path_factory.mktemp("quiet"), still)
    return {block["name"] for block, _ in still if f"name: {block['name']}," not in wrong}


def well(block: Block) -> list[Series]:
    """Give a block's series where all is well."""
    return [one.well(seconds(block["interval"])) for one in read(block)]


def test_one_environment_silences_nothing_of_another(quiet: set[str], tmp_path: Path) -> None:
    """Where all is well in one, each alert of the other fires and ends as it does alone, under its own labels."""
    played = []
    for block, evaluation in blocks():
        if block["name"] in quiet - NOWHERE:
            series = [one.labelled(**PRODUCTION) for one in read(block)]
            series += [one.labelled(**STAGING) for one in well(block)]
            checks = [
                check(at, name_of(block), [{**one, **PRODUCTION} for one in fires]) for at, fires in checks_of(block)
            ]
            played.append((made(block, series, checks, seconds(block["interval"])), evaluation))
    assert play(tmp_path, played) == ""
    assert {name_of(block) for block, _ in played} == set(alerts()) - NEVER_WELL


def test_what_is_wrong_in_two_environments_is_told_of_each(tmp_path: Path) -> None:
    """Each alert fires once for each, and nothing is added up over them."""
    played = []
    for block, evaluation in blocks():
        if block["name"] in NOWHERE:
            continue
        series = [one.labelled(**where) for one in read(block) for where in (PRODUCTION, STAGING)]
        checks = [check(at, name_of(block), [{**one, **where} for one in fires for where in (PRODUCTION, STAGING)])
                  for at, fires in checks_of(block)]  # fmt: skip
        played.append((made(block, series, checks, seconds(block["interval"])), evaluation))
    assert play(tmp_path, played) == ""
    assert {name_of(block) for block, _ in played} == set(alerts())


def test_a_pool_of_two_workers_is_as_one(quiet: set[str], tmp_path: Path) -> None:
    """What a worker has fires for it alone beside one that is well; what a pool has, where two workers share it."""
    played = [
        (made(block, series, [check(at, name_of(block), some) for at, some in checks_of(block)],
              seconds(block["interval"])), evaluation)
        for block, evaluation, series in of_two_workers(quiet)
    ]  # fmt: skip
    assert play(tmp_path, played) == ""
    assert {name_of(block) for block, _ in played} == set(alerts()) - OF_TWO


def test_a_label_that_differs_between_the_workers_of_a_pool_can_be_taken_away(quiet: set[str], tmp_path: Path) -> None:
    """As discovery/README.md says: each alert is as without the label; of one target it says the node too."""
    for name in ("rules.yml", "alerts.yml"):
        shutil.copy(MONITORING / name, tmp_path)
    (command,) = commands((MONITORING / "discovery" / "README.md").read_text())
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    of_two = [(block, evaluation, read(block)) for block, evaluation in blocks() if name_of(block) in OF_TWO]
    played = []
    for block, evaluation, series in [*of_two_workers(quiet), *of_two]:
        checks = [check(at, name_of(block), map(on_its_node, fires)) for at, fires in checks_of(block)]
        there = [one.labelled(node=where) if (where := one.label("instance")) else one for one in series]
        played.append((made(block, there, checks, seconds(block["interval"])), evaluation))
    assert play(tmp_path, played, tmp_path) == ""
    assert {name_of(block) for block, _ in played} == set(alerts())


def on_its_node(labels: dict[str, str]) -> dict[str, str]:
    """Say a target's node, which no other target is on."""
    return {**labels, "node": labels["instance"]} if "instance" in labels else labels


def of_two_workers(quiet: set[str]) -> Iterator[tuple[Block, int, list[Series]]]:
    """Give blocks with the interval of evaluation, and their series where the pool has two workers."""
    for block, evaluation in blocks():
        fires = [one for _, some in checks_of(block) for one in some]
        of_workers = any("worker" in one or "instance" in one for one in fires)
        if name_of(block) in OF_TWO:
            continue
        if not of_workers:
            series = [each for one in read(block) for each in halves(one)]
        elif block["name"] in quiet:
            series = [*read(block), *(second(one) for one in well(block) if one.label("worker"))]
        else:
            continue
        yield block, evaluation, series


def second(one: Series) -> Series:
    """Make it another worker's."""
    return one.labelled(worker=f"second.{one.label('worker')}", **OTHER)


def halves(one: Series) -> list[Series]:
    """Have two workers share what is counted; both, and their targets, say the rest."""
    if not one.label("worker"):
        return [one, one.labelled(**OTHER)] if one.label("pool") and one.label("instance") else [one]
    mine = one.mapped(lambda value: value / 2) if one.is_counter or SHARED.match(one.name) else one
    return [mine, second(mine)]


def test_a_restart_hides_nothing_and_raises_nothing(tmp_path: Path) -> None:
    """Every counter begins again while an alert fires, or two minutes before it does; it goes on as it would have."""
    played = [(again, evaluation) for block, evaluation in blocks() for again in restarted(block)]
    assert play(tmp_path, played) == ""
    counting = {name_of(block) for block, _ in blocks() if any(one.is_counter for one in read(block))}
    assert {name_of(block) for block, _ in played} == counting


@pytest.mark.parametrize("interval", [15, 60])
def test_it_is_the_same_at_another_scrape_interval(interval: int, tmp_path: Path) -> None:
    """Every alert fires and ends a scrape earlier or later, and not otherwise; what is over sooner is held on."""
    played = []
    for block, evaluation in blocks():
        before = seconds(block["interval"])
        slack = SLACK.get(name_of(block), 1) * max(interval, before)
        series, checks = read(block), checks_of(block)
        if not fires_in(moved(checks, slack)) and fires_in(checks):
            series, checks = held_on(series, checks, before, 2 * slack)
        kept = list(moved(checks, slack))
        if fires_in(kept):
            paced = [one.paced(before, interval) for one in series]
            looks = [check(at, name_of(block), fires) for at, fires in kept]
            played.append((made(block, paced, looks, interval), evaluation))
    assert play(tmp_path, played) == ""
    assert {name_of(block) for block, _ in played} == set(alerts())


def fires_in(checks: Iterable[Check]) -> bool:
    """Tell whether anything fires when it is looked at."""
    return any(fires for _, fires in checks)


def held_on(series: list[Series], checks: list[Check], interval: int, lasts: int) -> tuple[list[Series], list[Check]]:
    """Have things be for longer as they are when the alert first fires, until that lasts so many seconds."""
    runs = [list(some) for _, some in itertools.groupby(checks, key=lambda one: one[1])]
    run = next(some for some in runs if some[0][1])
    first, last = run[0][0], run[-1][0]
    times = -(-(lasts - (last - first)) // interval)
    later = [(at + times * interval, fires) for at, fires in checks if at >= last]
    return [one.held(-(-first // interval), times, interval) for one in series], [
        *(one for one in checks if one[0] < last or one[0] == first),
        *later,
    ]
