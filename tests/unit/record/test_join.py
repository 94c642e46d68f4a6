"""The join with target_info in docs/otlp.md works on what the port really says, by Prometheus's own engine."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from otel_celery.lifecycle import Outcome
from tests.unit.record.fakes import recording, scrape

PAGE = Path(__file__).parents[3] / "docs" / "otlp.md"
TARGET = 'job="celery",instance="localhost:9101"'


def test_the_join_gives_the_services_rate(promtool: str, tmp_path: Path) -> None:
    """Sixty tasks in a minute are one a second of service, pool and host; the query is read from the page."""
    (expression,) = re.findall(r"```promql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    opened = recording()
    opened.tallies.task("proj.add", "q").ended(Outcome.SUCCESS, 0.5, 0.25)
    series = [
        line for line in scrape(opened.registry).splitlines() if line.startswith(("target_info{", "celery_tasks_"))
    ]
    assert len(series) == 8
    resource = opened.provider._sdk_config.resource.attributes
    tests = tmp_path / "join.yml"
    tests.write_text(json.dumps({"tests": [the_test(series, expression, resource)]}))  # JSON is YAML
    done = subprocess.run([promtool, "test", "rules", tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def the_test(series: list[str], expression: str, resource: Any) -> dict[str, Any]:
    """Have the success counter rise by 60 a minute, and everything else stand still."""
    names = {"service_name": "service.name", "celery_pool_name": "celery.pool.name", "host_name": "host.name"}
    labels = ",".join(f'{name}="{resource[key]}"' for name, key in sorted(names.items()))
    return {
        "interval": "1m",
        "input_series": [
            {
                "series": line.rsplit(" ", 1)[0].replace("{", f"{{{TARGET},", 1),
                "values": "0+60x10" if 'status="success"' in line else "1x10" if "target" in line else "0x10",
            }
            for line in series
        ],
        "promql_expr_test": [
            {"expr": expression, "eval_time": "10m", "exp_samples": [{"labels": f"{{{labels}}}", "value": 1.0}]}
        ],
    }
