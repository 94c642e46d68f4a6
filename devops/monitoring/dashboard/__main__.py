"""Writes the dashboards that Grafana loads; a test holds the files and this together."""

from __future__ import annotations

import json
from pathlib import Path

from devops.monitoring.dashboard.board import BOARDS, Board, document

HERE = Path(__file__).parents[1]


def text(board: Board) -> str:
    """Give the text of a dashboard's file."""
    return json.dumps(document(board), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in BOARDS:
        (HERE / each.file).write_text(text(each), encoding="utf-8")
