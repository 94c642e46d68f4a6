"""The alerts' unit tests in devops/monitoring/tests: blocks of series, each about one alert.

Played with no more rules than its alert reads, a block takes a tenth of the time.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from tests.integration.stack.histories import check, made, read, seconds
from tests.integration.stack.rulebook import alerts, metrics, run
from tests.integration.stack.servers import MONITORING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    Block = dict[str, Any]
    Alert = dict[str, Any]

UNITS = sorted((MONITORING / "tests").glob("*.yml"))
"""The files, as promtool reads them."""
CONDITIONS = sorted((MONITORING / "tests" / "conditions").glob("*.yml"))
"""Those about one condition or window each, with environments, restarts and paces of their own: played as they are."""
RULES = MONITORING / "rules.yml"


def blocks(units: Iterable[Path] = UNITS) -> list[tuple[Block, int]]:
    """List the blocks, each with its file's interval of evaluation in seconds."""
    files = [_parsed(unit.read_text()) for unit in units]
    return [(block, seconds(file["evaluation_interval"])) for file in files for block in file["tests"]]


@cache
def _parsed(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def name_of(block: Block) -> str:
    """Name the alert that a block is about."""
    (name,) = {check["alertname"] for check in block["alert_rule_test"]}
    return str(name)


def checks_of(block: Block) -> list[tuple[int, list[dict[str, str]]]]:
    """List when a block looks, and the labels of what fires then, in order of time."""
    found = [(seconds(one["eval_time"]), [each["exp_labels"] for each in one["exp_alerts"]])
             for one in block["alert_rule_test"]]  # fmt: skip
    return sorted(found, key=lambda one: one[0])


def restarted(block: Block) -> Iterator[Block]:
    """Have every counter begin again two minutes before the alert fires, and just after it does."""
    interval, checks, series = seconds(block["interval"]), checks_of(block), read(block)
    first = next((at for at, fires in checks if fires), checks[-1][0])
    for moment in (first - 120, first + interval):
        again = [one.reset_at(max(2, moment // interval)) for one in series]
        if again != series:
            yield made(block, again, [check(at, name_of(block), fires) for at, fires in checks], interval)


def bare(alert: Alert) -> Alert:
    """Give an alert without its texts."""
    return {key: value for key, value in alert.items() if key != "annotations"}


def play(
    directory: Path,
    played: Iterable[tuple[Block, int]],
    version: str,
    changed: dict[str, Alert] | None = None,
    recording: Path = RULES,
) -> str:
    """Have promtool play blocks, by the committed alerts and recording rules or changed ones; return what is wrong."""
    files: dict[tuple[str, int], list[Block]] = {}
    for block, evaluation in played:
        files.setdefault((name_of(block), evaluation), []).append(block)
    known = changed or alerts()
    written = [
        _write(directory, known[name], evaluation, some, recording) for (name, evaluation), some in files.items()
    ]
    done = run(version, "test", "rules", *written)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _write(directory: Path, alert: Alert, evaluation: int, some: list[Block], recording: Path) -> Path:
    """Write one alert's blocks, and its rules beside them."""
    name = alert["alert"]
    groups = [*recording_rules([alert], recording), {"name": "alert", "rules": [alert]}]
    (directory / f"{name}.rules.yml").write_text(yaml.safe_dump({"groups": groups}, width=10_000))
    file = directory / f"{name}.{evaluation}.yml"
    order = [group["name"] for group in groups]
    head = {"rule_files": [f"{name}.rules.yml"], "evaluation_interval": f"{evaluation}s", "group_eval_order": order}
    file.write_text(yaml.safe_dump({**head, "tests": some}, width=10_000))
    return file


def recording_rules(readers: list[dict[str, Any]], recording: Path = RULES) -> list[dict[str, Any]]:
    """Give the groups of the recording rules that these alerts read, by way of others too."""
    groups: list[dict[str, Any]] = copy.deepcopy(_parsed(recording.read_text())["groups"])
    reads = {rule["record"]: metrics(rule["expr"]) for group in groups for rule in group["rules"]}
    wanted, new = set[str](), set().union(*(metrics(alert["expr"]) for alert in readers))
    while new:
        wanted |= new
        new = set().union(*(reads.get(name, set()) for name in new)) - wanted
    for group in groups:
        group["rules"] = [rule for rule in group["rules"] if rule["record"] in wanted]
    return [group for group in groups if group["rules"]]
