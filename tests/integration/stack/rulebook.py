"""What is in the committed files of rules, and the checkers that read them."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import promql_parser
import yaml

from otel_celery.catalogue import METRICS, Kind
from tests import services
from tests.integration.stack.servers import MONITORING, debian

if TYPE_CHECKING:
    from pathlib import Path

PROMTOOLS = ("3.13", "2.42")


def promtool(version: str) -> str:
    """Find the checker of Prometheus 3.13, or Debian's 2.42."""
    return services.built("promtool") if version == "3.13" else debian("promtool", "prometheus")


def run(version: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    return subprocess.run([promtool(version), *arguments], capture_output=True, text=True, check=False)


def rules(text: str) -> list[dict[str, Any]]:
    """List the rules of a file's text, of whichever group."""
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"] or ()]


def alerts() -> dict[str, dict[str, Any]]:
    """Give the committed alerts by their names."""
    return {rule["alert"]: rule for rule in rules((MONITORING / "alerts.yml").read_text())}


def expected() -> str:
    """Give expectations.yml with its examples switched on, as an operator does it: without the comment signs."""
    return re.sub(r"(?m)^( +)# (?=- record|  \w+:|    \w+:)", r"\1", (MONITORING / "expectations.yml").read_text())


def exported() -> set[str]:
    """Name what the catalogue's metrics are called on the port."""
    units = {"s": "_seconds"}
    names = set()
    for metric in METRICS:
        name = metric.name.replace(".", "_") + units.get(metric.unit, "")
        ends = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
        names |= {name + end for end in ends[metric.kind]}
    return names


def recorded() -> set[str]:
    """Name what the recording rules make, and what expectations.yml may."""
    every = [*rules((MONITORING / "rules.yml").read_text()), *rules(expected())]
    return {rule["record"] for rule in every}


def metrics(expression: str) -> set[str]:
    """Name the metrics of an expression, recorded ones included."""
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    selectors = [getattr(node, "vector_selector", node) for node in found]
    return {node.name for node in selectors if isinstance(node, promql_parser.VectorSelector) and node.name}
