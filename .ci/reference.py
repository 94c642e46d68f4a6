"""Writes the tables anew: of metrics, of variables, and of the alerts in the runbook."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from otel_celery.record import reference
from otel_celery.settings import table as variables

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
METRICS = ROOT / "docs" / "metrics.md"
RUNBOOK = ROOT / "devops" / "monitoring" / "RUNBOOK.md"
SETTINGS = ROOT / "docs" / "settings.md"


def whole() -> str:
    """Give the table of every metric, the documented ones in bold."""
    return reference.markdown()


def documented() -> str:
    """Give the rows of the documented metrics alone, where nothing has to stand out."""
    head, rule, *rows = whole().splitlines()
    return "\n".join([head, rule, *(row.replace("**", "") for row in rows if "**" in row)])


def index() -> str:
    """List the alerts by severity, those that page first, and within that by what they are about, as alerts.yml is."""
    groups = yaml.safe_load(RUNBOOK.with_name("alerts.yml").read_text("utf-8"))["groups"]
    rows = ["| severity | about | alerts |", "| --- | --- | --- |"]
    for severity in ("critical", "warning"):
        for group in groups:
            names = [rule["alert"] for rule in group["rules"] if rule["labels"]["severity"] == severity]
            about = re.sub("^celery_?", "", group["name"]) or "the documented two"
            if names:
                links = ", ".join(f"[{name}](#{name.lower()})" for name in names)
                rows.append(f"| *{severity}* | {about} | {links} |")
    return "\n".join(rows)


TABLES = {
    METRICS: ("metrics", whole),
    README: ("metrics", documented),
    SETTINGS: ("variables", variables.markdown),
    RUNBOOK: ("index", index),
}
"""Which page has which table, between two marks of this name."""


def renewed(text: str, name: str, table: str) -> str:
    """Return a page's text with its table made anew."""
    opening, closing = f"<!-- {name}: made by `make generated` -->\n", f"<!-- /{name} -->\n"
    before, begin, rest = text.partition(opening)
    _, end, after = rest.partition(closing)
    if not (begin and end):
        raise ValueError(f"no place for the table: {opening.strip()} ... {closing.strip()}")
    return f"{before}{opening}\n{table}\n\n{closing}{after}"


if __name__ == "__main__":
    for page, (name, table) in TABLES.items():
        page.write_text(renewed(page.read_text("utf-8"), name, table()), "utf-8")
