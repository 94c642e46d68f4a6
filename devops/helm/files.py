"""Writes the chart's files anew from devops/monitoring: a chart reads nothing beside itself. A test holds both.

The rules and alerts are as in Kubernetes' PrometheusRules: without the group on the exporters of compose. The dashboard
is written without the spaces between its words, since it goes into a ConfigMap and into the release's own Secret.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path

HERE = Path(__file__).parent
MONITORING = HERE.parent / "monitoring"
FILES = HERE / "otel-celery" / "files"


def renewed() -> dict[str, str]:
    """Make the text of each file."""
    rules = runpy.run_path(str(HERE.parent / "kubernetes" / "rules.py"))
    made = {name: f"# Made of devops/monitoring/{name} by `make generated`: change that file.\n{rules['taken'](name)}"
            for name in ("rules.yml", "alerts.yml")}  # fmt: skip
    dashboard = json.loads((MONITORING / "grafana_dashboards.json").read_text(encoding="utf-8"))
    return {**made, "dashboard.json": json.dumps(dashboard, ensure_ascii=False, separators=(",", ":")) + "\n"}


if __name__ == "__main__":
    for name, text in renewed().items():
        (FILES / name).write_text(text, encoding="utf-8")
