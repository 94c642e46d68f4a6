"""Writes the dashboard that Grafana loads; a test holds the file and this together."""

from __future__ import annotations

import json
from pathlib import Path

from devops.monitoring.dashboard.board import document

FILE = Path(__file__).parents[1] / "grafana_dashboards.json"


def text() -> str:
    """Give the file's text."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
