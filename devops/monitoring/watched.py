"""Writes what the package knows of the alerts: ``python -m devops.monitoring.watched``.

`otel-celery top` judges by the limits of alerts.yml and names the runbook's first step, and the wheel has neither file:
otel_celery/watch/alerts.json is made from both.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "otel_celery" / "watch" / "alerts.json"
USUAL = "pool_task:celery_worker_oldest_active_task_seconds:limit"
"""The recording rule whose numbers are CeleryTaskRunningTooLong's as well."""

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_COMPARED = re.compile(r"[<>]=?\s*(?:bool\s+)?(\d[\d.]*(?:\s*\*\s*\d[\d.]*)*)")
_WINDOWS = (re.compile(r"\[(\d+)([smhd])\]"), re.compile(r"(?:rate|increase)(\d+)([smhd])\b"))
"""An expression's own window, or else that of a recording rule, whose name says it."""
_SELECTOR = re.compile(r"\{[^}]*\}")
_USUAL = re.compile(r"clamp_min\((\d+) \*.*, (\d+)\)", re.DOTALL)


def table() -> dict[str, dict[str, Any]]:
    """Make the table: of each alert its severity, its numbers, and what the runbook says to look at and do."""
    sections = _sections((HERE / "RUNBOOK.md").read_text("utf-8"))
    rules = {rule["alert"]: rule for rule in _rules("alerts.yml")}
    made = {name: {**_judged(rule), **_said(sections[name])} for name, rule in rules.items()}
    for entry in made.values():
        entry["do"] = _resolved(entry["do"], "do", made)
        if re.fullmatch(r"As for \w+\.", entry["look"]):
            entry["look"] = _resolved(entry["look"], "look", made)
    made["CeleryTaskRunningTooLong"]["limits"] += _usual()
    return made


def text() -> str:
    """Write the table as the file has it."""
    return json.dumps(table(), indent=1, ensure_ascii=False) + "\n"


def _rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((HERE / name).read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _judged(rule: dict[str, Any]) -> dict[str, Any]:
    expression = _SELECTOR.sub("", rule["expr"])
    window = next(filter(None, (pattern.search(expression) for pattern in _WINDOWS)), None)
    return {
        "severity": rule["labels"]["severity"],
        "for": _seconds(*re.fullmatch(r"(\d+)([smhd])", rule.get("for", "0s")).groups()),  # type: ignore[union-attr]
        "limits": [number for number in map(_product, _COMPARED.findall(expression)) if number],
        "window": _seconds(*window.groups()) if window else 0,
    }


def _usual() -> list[float]:
    """Find how many times the usual, and how many seconds at the least, a run may take."""
    (rule,) = (rule for rule in _rules("rules.yml") if rule.get("record") == USUAL)
    found = _USUAL.search(rule["expr"])
    if found is None:
        raise ValueError(f"{USUAL}: there is no clamp_min(times * usual, least) in it")
    return [float(number) for number in found.groups()]


def _sections(runbook: str) -> dict[str, str]:
    parts = re.split(r"^## ", runbook, flags=re.MULTILINE)[1:]
    return dict(part.split("\n", 1) for part in parts)


def _said(section: str) -> dict[str, str]:
    command = re.search(r"^\$ (.*?)(?:\s+#.*)?$", section.partition("\nLook:")[2], re.MULTILINE)
    return {
        "look": _paragraph(section, "Look"),
        "command": command[1] if command else "",
        "do": _paragraph(section, "Do"),
    }


def _paragraph(section: str, name: str) -> str:
    found = re.search(rf"^{name}:\s+(.*?)(?=\n\n|\Z)", section, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"no paragraph {name}: in {section[:80]!r}")
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)|<(https?://[^>]*)>", r"\1\2", " ".join(found[1].split()))
    return words if words.startswith("http") else words[:1].upper() + words[1:]


def _resolved(words: str, key: str, made: dict[str, dict[str, Any]]) -> str:
    """Say what another alert's section says, where one only points there."""
    found = re.match(r"As for (\w+)[.,;]?", words)
    return str(made[found[1]][key]) if found and found[1] in made else words


def _seconds(number: str, unit: str) -> int:
    return int(number) * SECONDS[unit]


def _product(words: str) -> float:
    made = 1.0
    for factor in words.split("*"):
        made *= float(factor)
    return round(made, 9)


if __name__ == "__main__":
    TABLE.write_text(text(), "utf-8")
