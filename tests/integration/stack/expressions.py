"""Every PromQL expression that is handed to users: the dashboard's, the rules' and alerts', and those of our pages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.integration.stack.markdown import queries
from tests.integration.stack.servers import MONITORING, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.integration.stack.servers import Server

DASHBOARD = MONITORING / "grafana_dashboards.json"
DOCS = ROOT / "docs"
CONTRACT = DOCS / "contract.md"
"""The page with the expressions that operators are promised."""

ALL = {"pool": ".*", "worker": ".*", "task": ".*"}
"""What the dashboard's variables are when nothing is chosen."""

LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
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
        values = {**variables, "__rate_interval": window, "__range": window, "__from": f"{since * 1000:.0f}"}
        return re.sub(r"\$(\w+)", lambda match: values.get(match[1], match[0]), self.text)


def board() -> dict[str, Any]:
    """Read the committed dashboard."""
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def of_the_dashboard() -> Iterator[Expression]:
    """Give its panels' queries, its annotations' and its variables'."""
    document = board()
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            labels = frozenset(LEGEND_LABEL.findall(target["legendFormat"]))
            yield Expression(f"dashboard: {panel['title']} {target['refId']}", target["expr"], labels)
    for annotation in document["annotations"]["list"]:
        yield Expression(f"dashboard: {annotation['name']}", annotation["expr"])
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            match = LABEL_VALUES.fullmatch(variable["query"])
            assert match, variable["query"]
            yield Expression(f"dashboard: ${variable['name']}", match[1], frozenset({match[2]}))


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
