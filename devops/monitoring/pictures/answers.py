"""What Prometheus answers to the panels' queries, put as Grafana puts them while nothing is chosen at the top."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from devops.monitoring.pictures import panels
from devops.monitoring.pictures.scene import EVERY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devops.monitoring.pictures.scene import Scene


def answered(dashboard: Mapping[str, Any], scene: Scene) -> list[dict[str, Any]]:
    """Give all that panels.jsx needs of each panel: the panel, its file, its answers, and the time that it shows."""
    values = {variable["name"]: variable.get("allValue", "") for variable in dashboard["templating"]["list"]}
    values["__rate_interval"] = f"{4 * EVERY}s"  # Grafana's: four scrapes
    values["__range"] = f"{scene.end - scene.start}s"
    return [
        {
            "panel": panel,
            "file": panels.file_name(panel),
            "answers": [_answer(target, values, scene) for target in panel["targets"]],
            "start": scene.start,
            "end": scene.end,
        }
        for panel in panels.drawn(dashboard)
    ]


def _answer(target: Mapping[str, Any], values: Mapping[str, str], scene: Scene) -> dict[str, Any]:
    """Give a query's letter, its legend, the times it was put for, and its series as Prometheus's API gives them."""
    start = scene.end if target["instant"] else scene.start
    query = re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]), target["expr"])
    asked = {"query": query, "start": f"{start}", "end": f"{scene.end}", "step": f"{EVERY}"}
    series = scene.prometheus.api("query_range", **asked)["result"]
    if not series:
        raise RuntimeError(f"the demo has nothing to show for {query}")
    times = [*range(start, scene.end + 1, EVERY)]
    return {"refId": target["refId"], "legend": target["legendFormat"], "times": times, "series": series}
