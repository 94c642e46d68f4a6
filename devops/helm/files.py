"""Writes the chart's files anew from devops/monitoring: a chart reads nothing beside itself. A test holds both.

The rules and alerts are as in Kubernetes' PrometheusRules: without the group on the exporters of compose. The
dashboards are written without the spaces between their words, since they go into ConfigMaps and into the release's own
Secret.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path

HERE = Path(__file__).parent
MONITORING = HERE.parent / "monitoring"
FILES = HERE / "otel-celery" / "files"

DASHBOARDS = {
    "celery-workers.json": "grafana_dashboards.json",
    "celery-task.json": "celery_task.json",
    "celery-worker.json": "celery_worker.json",
}
"""The chart's names, and the files. Each is a ConfigMap: `kubectl apply` refuses what takes more than 256 KiB."""


def renewed() -> dict[str, str]:
    """Make the text of each file."""
    rules = runpy.run_path(str(HERE.parent / "kubernetes" / "rules.py"))
    made = {name: f"# Made of devops/monitoring/{name} by `make generated`: change that file.\n{rules['taken'](name)}"
            for name in ("rules.yml", "alerts.yml")}  # fmt: skip
    return {**made, **{name: compact(MONITORING / file) for name, file in DASHBOARDS.items()}}


def compact(file: Path) -> str:
    """Leave the spaces out of a file of JSON."""
    document = json.loads(file.read_text(encoding="utf-8"))
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    for name, text in renewed().items():
        (FILES / name).write_text(text, encoding="utf-8")
