"""Every PromQL expression that is handed to users: the dashboards', the rules' and alerts', and those of our pages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.integration.stack.markdown import queries
from tests.integration.stack.servers import MONITORING, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.integration.stack.servers import Server

BOARDS = {
    "dashboard": MONITORING / "grafana_dashboards.json",
    "task": MONITORING / "celery_task.json",
    "worker": MONITORING / "celery_worker.json",
}
"""The dashboards: that of all, and those of one."""
DOCS = ROOT / "docs"
CONTRACT = DOCS / "contract.md"
"""The page with the expressions that operators are promised."""

JOBS = "(celery|celery-beat|celery-queues|web)"
"""Those that a Grafana finds on the demo and in the failing history, as it puts them in for All."""

ALL = {"job": JOBS, **dict.fromkeys(("environment", "pool", "queue", "worker", "task"), ".*")}
"""What the dashboards' variables are when nothing is chosen."""

CONSTANT = {"environment_label": "env", "budget": "0.01"}

ONE = {"task": "orders.place", "worker": "trading@localhost"}
"""Whom the dashboards of one are about: of the demo."""

VARIABLE = re.compile(r"label_values\((?P<series>.+), \$?(?P<label>\w+)\)|query_result\((?P<counted>.+)\)")
LEGEND_LABEL = re.compile(r"{{\s*(\w+)\s*}}")


@dataclass(frozen=True)
class Expression:
    """One expression, and where it stands."""

    place: str
    text: str
    labels: frozenset[str] = frozenset()
    """Labels that each of its series must have: those of its legend."""

    def filled(self, variables: Mapping[str, str] = ALL, window: str = "1m", since: float = 0) -> str:
        """Put values in place of Grafana's variables."""
        time = {"__rate_interval": window, "__range": window, "__from": f"{since * 1000:.0f}"}
        values = {**ALL, **CONSTANT, **variables, **time}
        return re.sub(r"\$(\w+)", lambda match: values.get(match[1], match[0]), self.text)


def board(name: str = "dashboard") -> dict[str, Any]:
    """Read a committed dashboard."""
    document: dict[str, Any] = json.loads(BOARDS[name].read_text())
    return document


def of_the_dashboards(one: Mapping[str, str] = ONE) -> Iterator[Expression]:
    """Give the expressions of all three, those of one about ``one``."""
    for name in BOARDS:
        for expression in _of_a_dashboard(name):
            text = expression.text.replace(f'="${name}"', f'="{one.get(name)}"')
            yield replace(expression, place=f"{name}: {expression.place}", text=text)


def _of_a_dashboard(name: str) -> Iterator[Expression]:
    """Give its panels' queries, its annotations' and its variables'."""
    document = board(name)
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            labels = frozenset(LEGEND_LABEL.findall(target["legendFormat"]))
            yield Expression(f"{panel['title']} {target['refId']}", target["expr"], labels)
    for annotation in document["annotations"]["list"]:
        yield Expression(annotation["name"], annotation["expr"])
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            match = VARIABLE.fullmatch(variable["query"])
            assert match, variable["query"]
            labels = frozenset({match["label"] or variable["name"]} - CONSTANT.keys())
            yield Expression(f"${variable['name']}", match["series"] or match["counted"], labels)


def of_the_rules(server: Server) -> Iterator[Expression]:
    """Give the recording rules and the alerts that a Prometheus has loaded."""
    for group in server.api("rules")["groups"]:
        for rule in group["rules"]:
            yield Expression(f"{rule['type']}: {rule['name']}", rule["query"])


def of_the_pages() -> Iterator[Expression]:
    """Give what stands in a promql block of any page of the repository."""
    for page in sorted((ROOT / "README.md", *DOCS.rglob("*.md"), *(ROOT / "devops").rglob("*.md"))):
        yield from of_page(page)


def of_page(page: Path) -> Iterator[Expression]:
    """Give the expressions of a page's promql blocks: an empty line parts two."""
    for text in queries(page.read_text()):
        yield Expression(f"{page.name}: {' '.join(text.split())}", text)
