"""The committed files at another pace, and otherwise as they are: on a shorter scale of time, or done more often.

`quickened` divides every duration of rules and routes, windows included; `hastened` has everything scraped and
evaluated every second or two, with windows as long as they are. No test changes an interval in another way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION = re.compile(r"(\[|\b(?:for|interval|group_wait|group_interval|repeat_interval): )(\d+)(ms|s|m|h|d)\b")
"""A range in PromQL, or a setting of a rule, a group of rules or a route."""

OFTEN = re.compile(r"\b(scrape_interval|scrape_timeout|evaluation_interval|interval|scrapeTimeout): *\w+")
"""How often something is done, and how long a scrape may take, in any file that Prometheus or its operator reads."""

READ_BY_PROMETHEUS = ("prometheus.yml", "rules.yml", "alerts.yml", "expectations.yml")


def hastened(text: str, every: str = "2s") -> str:
    """Put one duration in place of each interval, and of each scrape's timeout."""
    return OFTEN.sub(rf"\1: {every}", text)


def hasten(copy: Path) -> None:
    """Hasten what Prometheus reads of a copy of devops/monitoring."""
    for name in READ_BY_PROMETHEUS:
        file = copy / name
        file.write_text(hastened(file.read_text()))


def quickened(text: str, times: int) -> str:
    """Divide every duration in the text of a file of rules, or of Alertmanager's configuration."""
    return DURATION.sub(lambda match: f"{match[1]}{int(match[2]) * MILLISECONDS[match[3]] // times}ms", text)


def milliseconds(duration: str) -> int:
    """Read one duration, such as ``5m``."""
    found = re.fullmatch(r"(\d+)([a-z]+)", duration)
    assert found, duration
    return int(found[1]) * MILLISECONDS[found[2]]
