"""Rules and routes on a shorter scale of time: every window, `for` and interval divided, and nothing else changed."""

from __future__ import annotations

import re

MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION = re.compile(r"(\[|\b(?:for|interval|group_wait|group_interval|repeat_interval): )(\d+)(ms|s|m|h|d)\b")
"""A range in PromQL, or a setting of a rule, a group of rules or a route."""


def quickened(text: str, times: int) -> str:
    """Divide every duration in the text of a file of rules, or of Alertmanager's configuration."""
    return DURATION.sub(lambda match: f"{match[1]}{int(match[2]) * MILLISECONDS[match[3]] // times}ms", text)


def milliseconds(duration: str) -> int:
    """Read one duration, such as ``5m``."""
    found = re.fullmatch(r"(\d+)([a-z]+)", duration)
    assert found, duration
    return int(found[1]) * MILLISECONDS[found[2]]
