"""What an expression answers over series that are written down: promtool is asked, and no server started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from tests.integration.stack.rulebook import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Series = dict[str, str]
"""A series and its values, as promtool reads them: four samples a minute."""


def written(name: str, labels: Mapping[str, str], values: str) -> Series:
    """Write a series as promtool reads it."""
    inside = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return {"series": f"{name}{{{inside}}}", "values": values}


def play(
    directory: Path,
    version: str,
    series: Iterable[Series],
    asked: Mapping[str, Mapping[str, float]],
    *files: str,
    moment: str = "60m",
) -> str:
    """Ask promtool whether each expression answers so at that moment, by these rules; give its complaints."""
    expected = [
        {
            "expr": text,
            "eval_time": moment,
            "exp_samples": [{"labels": labels, "value": value} for labels, value in found.items()],
        }
        for text, found in asked.items()
    ]
    test = {"interval": "15s", "input_series": [*series], "promql_expr_test": expected}
    whole: dict[str, Any] = {"evaluation_interval": "15s", "rule_files": [*files], "tests": [test]}
    file = directory / "test.yml"
    file.write_text(yaml.safe_dump(whole, width=10_000))
    done = run(version, "test", "rules", file)
    return "" if done.returncode == 0 else done.stdout + done.stderr
