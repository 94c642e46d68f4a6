"""The rules on VictoriaMetrics: vmalert replays the alerts' unit tests, and they fire and end as on Prometheus.

Left out are a history with a series that goes stale, which an import cannot say; one of more than two hours; and what
reads a rule that remembers itself, for which a replay has nothing to remember: it asks for all the time at once.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.stack.histories import Series, moved, read, seconds
from tests.integration.stack.markdown import GUIDE
from tests.integration.stack.replayed import PACKAGE, Replay, turns, victoria
from tests.integration.stack.rulebook import alerts, expected
from tests.integration.stack.servers import MONITORING, debian
from tests.integration.stack.units import blocks, checks_of, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.stack.units import Block

LONGEST = 7200
PACE = 30
"""Seconds between two evaluations, as promtool makes them."""
REMEMBERS = {
    "CeleryPoolWithoutWorkers", "CeleryQueueNotConsumed", "CeleryScrapeFailing", "CeleryTargetsMissing",
    "CeleryTaskNotSucceeded", "CeleryTooFewWorkers", "CeleryWorkerDown", "CeleryWorkerFlapping",
    "PostgresDown", "PostgresExporterDown", "RedisDown", "RedisExporterDown",
}  # fmt: skip
"""Alerts that read a rule that remembers itself."""
STALE_OR_LONG = {
    "CeleryBeatStopped", "CeleryNodeNameTwice", "CeleryQueuesUnseen", "CelerySuccessBudgetLeaking",
    "CeleryTaskRunningTooLong",
}  # fmt: skip
"""Alerts of which each history is left out."""
COUNTS = {"CeleryHardTimeLimits", "CeleryPoisonMessage", "CeleryTasksRejected", "CeleryTasksRevoked"}
"""What counts within a quarter of an hour; played without UNJUDGED, where no worker says that it is up."""
RATE = re.compile(r"\brate\(|rate\d+[mhd]\b")
SLACK = 60
"""Seconds by which a rate may be later: its window has the sample before it too."""


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """Have vmalert replay the histories, each in an environment of its own, and each restart of what is counted."""
    with victoria(tmp_path_factory.mktemp("victoria")) as made:
        for env, block in played():
            made.remember([one.labelled(env=env) for one in read(block)], seconds(block["interval"]))
            if name_of(block) in COUNTS:
                for moment, series in restarted(block):
                    given = [one.labelled(env=f"{env} restarted at {moment}") for one in series]
                    made.remember(given, seconds(block["interval"]))
        made.play(LONGEST, PACE)
        yield made


def played() -> Iterator[tuple[str, Block]]:
    """Give the histories that can be replayed, with the environment in which they are."""
    replayed = {rule["alert"] for turn in turns() for rule in turn if "alert" in rule}
    for number, (block, _) in enumerate(blocks()):
        is_stale = any("stale" in one.samples for one in read(block))
        is_judged = name_of(block) not in COUNTS or not any(
            one.name.startswith("celery_worker_up{") for one in read(block)
        )
        if name_of(block) in replayed and is_judged and not is_stale and checks_of(block)[-1][0] <= LONGEST:
            yield f"block-{number}", block


def restarted(block: Block) -> Iterator[tuple[int, list[Series]]]:
    """Have every counter begin again two minutes before the alert fires, and just after."""
    interval = seconds(block["interval"])
    first = next(at for at, fires in checks_of(block) if fires)
    for moment in (first - 120, first + interval):
        yield moment, [one.reset_at(max(2, moment // interval)) for one in read(block)]


def test_victoria_metrics_tells_the_same(replay: Replay) -> None:
    """Each alert fires and ends as in its unit test, at the same evaluation; a rate may be two evaluations later."""
    for env, block in played():
        told = replay.firing(name_of(block))
        for at, fires in looks(block):
            assert found_in(env, told.get(at, [])) == in_order(fires), f"{name_of(block)}, {block['name']}, {at}"


def looks(block: Block) -> list[tuple[int, list[dict[str, str]]]]:
    """List when to look, and what fires then: at a rate once everything fires.

    A young counter's rate is whole here from its second sample on; on Prometheus it grows for as long as its window.
    """
    checks = checks_of(block)
    if not RATE.search(alerts()[name_of(block)]["expr"]):
        return checks
    most = max(len(fires) for _, fires in checks)
    begin = next(number for number, (_, fires) in enumerate(checks) if len(fires) == most)
    return [*moved(checks[begin:], SLACK)]


def test_a_restart_hides_nothing_of_what_is_counted(replay: Replay) -> None:
    """Nor does it raise anything: what was counted before it, and after, is what is told."""
    for env, block in played():
        if name_of(block) in COUNTS:
            told = replay.firing(name_of(block))
            for moment, _ in restarted(block):
                for at, fires in checks_of(block):
                    found = found_in(f"{env} restarted at {moment}", told.get(at, []))
                    assert found == in_order(fires), f"{block['name']}, restarted at {moment}, {at}"


def found_in(env: str, fires: list[dict[str, str]]) -> list[dict[str, str]]:
    """Give what fires in an environment, without its name."""
    return in_order(
        [{name: value for name, value in one.items() if name != "env"} for one in fires if one["env"] == env]
    )


def in_order(fires: list[dict[str, str]]) -> list[dict[str, str]]:
    """Sort what fires by its labels."""
    return sorted(fires, key=lambda one: sorted(one.items()))


def test_it_is_known_what_cannot_be_replayed() -> None:
    """All other alerts are; the guide says how many."""
    replayed = {name_of(block) for _, block in played()}
    assert set(alerts()) - replayed == REMEMBERS | STALE_OR_LONG
    (sentence,) = re.findall(r"tells the same of (\d+) of the (\d+) alerts", " ".join(GUIDE.split()))
    assert sentence == (str(len(replayed)), str(len(alerts())))
    for many, which in ((REMEMBERS, "read what remembers itself"), (STALE_OR_LONG, "have no history that")):
        assert f"{len(many)} {which}" in " ".join(GUIDE.split())


def test_vmalert_loads_all_rules(tmp_path: Path) -> None:
    """Those that cannot be replayed too, and the examples of what to expect; it says nothing of them."""
    examples = tmp_path / "expectations.yml"
    examples.write_text(expected())
    files = (f"-rule={file}" for file in (MONITORING / "rules.yml", MONITORING / "alerts.yml", examples))
    command = [debian("vmalert", PACKAGE), "-dryRun", "-loggerLevel=WARN", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
