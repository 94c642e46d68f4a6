"""One alert with many variants beside it, each a mutation: played at once, since most of a play is its beginning.

A variant of an alert has a name of its own. One of a recording rule has, with all that reads it, a series of its own.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.integration.stack.rulebook import metrics, run
from tests.integration.stack.units import recording_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.integration.stack.units import Block

    Rule = dict[str, Any]
    Played = Iterable[tuple[Block, int]]

VERSION = "3.13"
NAME = re.compile(r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<name>[A-Za-z_][\w:]*)""")
FAILED = re.compile(r"alertname: (?P<alert>\w+?)(?:_mutation(?P<number>\d+))?, time")
BROKEN = re.compile(r"rule: [\w:]+?_mutation(?P<number>\d+)")
"""A variant that cannot be evaluated: what it has been compared with is there twice."""


def noticed(
    directory: Path, alert: Rule, record: str | None, expressions: Mapping[int, str], played: Played
) -> set[int]:
    """Have blocks played by each mutated expression of an alert, or of a record that it reads; give those that fail.

    Raises AssertionError where the committed rules fail too.
    """
    found: set[int] = set()
    files = list(played)
    while files and (left := {number: each for number, each in expressions.items() if number not in found}):
        output = _play(directory, _groups(alert, record, left), files, left)
        failed = [match.groupdict() for match in FAILED.finditer(output)]
        assert all(each["number"] for each in failed), output
        broken = {int(match["number"]) for match in BROKEN.finditer(output)}
        found |= broken | {int(each["number"]) for each in failed}
        if not broken:
            assert failed or not output, output
            return found
    return found


def _play(directory: Path, groups: list[dict[str, Any]], played: Played, numbers: Iterable[int]) -> str:
    """Give what promtool says is wrong."""
    (directory / "rules.yml").write_text(json.dumps({"groups": groups}))
    head = {"rule_files": ["rules.yml"], "group_eval_order": [group["name"] for group in groups]}
    files: dict[int, list[Block]] = {}
    for block, evaluation in played:
        files.setdefault(evaluation, []).append(_of_all(block, numbers))
    for evaluation, tests in files.items():
        text = json.dumps({**head, "evaluation_interval": f"{evaluation}s", "tests": tests})
        (directory / f"{evaluation}.yml").write_text(text)
    done = run(VERSION, "test", "rules", *(directory / f"{evaluation}.yml" for evaluation in files))
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _of_all(block: Block, numbers: Iterable[int]) -> Block:
    """Expect of each variant what is expected of the alert."""
    names = ("", *map(_suffix, numbers))
    checks = [{**one, "alertname": one["alertname"] + name} for one in block["alert_rule_test"] for name in names]
    return {**block, "alert_rule_test": checks}


def _groups(alert: Rule, record: str | None, expressions: Mapping[int, str]) -> list[dict[str, Any]]:
    """Give the rules that an alert reads, and the alert, with the variants of each that has any."""
    groups = recording_rules([alert])
    changed = _readers(groups, record) if record else set[str]()
    for group in groups:
        group["rules"] = [
            each for rule in group["rules"] for each in (rule, *_variants(rule, record, changed, expressions))
        ]
    return [*groups, {"name": "alert", "rules": [alert, *_variants(alert, record, changed, expressions)]}]


def _variants(rule: Rule, record: str | None, changed: set[str], expressions: Mapping[int, str]) -> list[Rule]:
    """Give a rule's variants: mutated itself, or reading those of a rule that is."""
    key = "record" if "record" in rule else "alert"
    if key == "record" and rule["record"] not in changed:
        return []
    is_mutated = rule.get("record") == record
    return [
        {
            **rule,
            key: rule[key] + _suffix(number),
            "expr": _renamed(each if is_mutated else rule["expr"], changed, _suffix(number)),
        }
        for number, each in expressions.items()
    ]


def _readers(groups: list[dict[str, Any]], record: str) -> set[str]:
    """Name what reads a record, by way of others too, and the record."""
    found, new = set[str](), {record}
    while new:
        found |= new
        new = {rule["record"] for group in groups for rule in group["rules"] if metrics(rule["expr"]) & found} - found
    return found


def _renamed(expression: str, names: set[str], suffix: str) -> str:
    return NAME.sub(lambda match: match[0] + suffix if match["name"] in names else match[0], expression)


def _suffix(number: int) -> str:
    return f"_mutation{number}"
