"""What Prometheus answers to the panels' queries, put as Grafana puts them while nothing is chosen at the top."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from devops.monitoring.pictures import panels
from devops.monitoring.pictures.scene import EVERY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devops.monitoring.pictures.scene import Scene

JOBS = "(celery|celery-queues)"
"""What Grafana puts in for All: it would ask Prometheus which jobs there are."""

ONE = {"task": "orders.place", "worker": "market@localhost"}
"""Whom the dashboards of one are about: what fails most often, and who has stopped."""


def answered(name: str, dashboard: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
    """Give all that panels.jsx needs of a picture: its file, the time that it shows, its panels, and their answers."""
    values = {one["name"]: one.get("allValue") or one.get("query") or "" for one in dashboard["templating"]["list"]}
    values |= {"job": JOBS, "__rate_interval": f"{4 * EVERY}s", "__range": f"{scene.end - scene.start}s"}
    values |= {variable: one for variable, one in ONE.items() if not _multiple(dashboard, variable)}
    return {
        "file": panels.file_name(name),
        "start": scene.start,
        "end": scene.end,
        "panels": [
            {"panel": panel, "answers": [_answer(target, values, scene) for target in panel["targets"]]}
            for panel in panels.drawn(name, dashboard)
        ],
    }


def _multiple(dashboard: Mapping[str, Any], variable: str) -> bool:
    return any(one["multi"] for one in dashboard["templating"]["list"] if one["name"] == variable)


def _answer(target: Mapping[str, Any], values: Mapping[str, str], scene: Scene) -> dict[str, Any]:
    """Give a query's letter, its legend, the times it was put for, and its series as Prometheus's API gives them."""
    start = scene.end if target["instant"] else scene.start
    query = re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]), target["expr"])
    if target["instant"]:  # in the order that the query asks for
        found = scene.prometheus.query(query, time=f"{scene.end}")
        series = [{"metric": one["metric"], "values": [one["value"]]} for one in found]
    else:
        asked = {"query": query, "start": f"{start}", "end": f"{scene.end}", "step": f"{EVERY}"}
        series = scene.prometheus.api("query_range", **asked)["result"]
    times = [*range(start, scene.end + 1, EVERY)]
    return {"refId": target["refId"], "legend": target["legendFormat"], "times": times, "series": series}
