"""The committed files with everything done more often, and otherwise as they are.

`hastened` has everything scraped and evaluated every second or two, with windows as long as they are. A shorter scale
of time is `tests.incidents.pace`. No test changes an interval in another way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

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
