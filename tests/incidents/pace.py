"""Time that goes faster: the committed files of Prometheus and Alertmanager with every duration divided by one number.

What is a duration: the settings named in DURATIONS, and in expressions ranges, offsets, and numbers that are seconds
(`units`). A number that is so many in a second is multiplied, since so many more happen in one.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.incidents import units

MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
DURATIONS = {
    *("scrape_interval", "scrape_timeout", "evaluation_interval", "refresh_interval"),
    *("interval", "for", "keep_firing_for"),
    *("group_wait", "group_interval", "repeat_interval"),
}
"""The keys whose value is a duration: of prometheus.yml, of a group of rules and an alert, of a route."""

TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"|(?P<duration>\d+(?:ms|[smhdw])\b)"
    r"|(?P<word>[A-Za-z_][\w:]*)"
    r"|(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
)
"""What an expression is made of; a range in brackets is a duration, and a number within a text or a name is none."""


def quickened(text: str, times: float) -> str:
    """Divide every duration in the text of a YAML file of Prometheus or Alertmanager by ``times``; comments go."""
    return yaml.safe_dump(_quicker("", yaml.safe_load(text), times), sort_keys=False, width=1000)


def quicker(expression: str, times: float) -> str:
    """Give a PromQL expression on a scale of time that is ``times`` shorter.

    Raises ValueError where it compares unlike with unlike.
    """
    numbers = iter(units.numbers(expression))

    def replaced(token: re.Match[str]) -> str:
        if token["duration"]:
            return divided(token["duration"], times)
        if not token["number"]:
            return token[0]
        number = next(numbers)
        if number.value != float(token[0]):
            raise ValueError(f"{expression}: {token[0]} is read as {number.value}")
        return f"{number.value / times**number.power:.10g}" if number.power else token[0]

    return TOKEN.sub(replaced, expression)


def divided(duration: str, times: float) -> str:
    """Divide a duration such as ``5m``, to the millisecond, and never to nothing."""
    return f"{max(1, round(milliseconds(duration) / times))}ms"


def milliseconds(duration: str) -> int:
    """Read one duration, such as ``5m``; raise ValueError where it is none."""
    found = re.fullmatch(r"(\d+)(ms|[smhdw])", duration)
    if not found:
        raise ValueError(f"{duration!r} is no duration")
    return int(found[1]) * MILLISECONDS[found[2]]


def _quicker(key: str, value: Any, times: float) -> Any:
    if isinstance(value, dict):
        return {name: _quicker(name, each, times) for name, each in value.items()}
    if isinstance(value, list):
        return [_quicker(key, each, times) for each in value]
    if key == "expr":
        return quicker(value, times)
    return divided(value, times) if key in DURATIONS else value
