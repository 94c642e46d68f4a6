"""Writes the tables anew: of metrics from the catalogue, and of variables from the list of them."""

from __future__ import annotations

from pathlib import Path

from otel_celery.record import reference
from otel_celery.settings import table as variables

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
METRICS = ROOT / "docs" / "metrics.md"
SETTINGS = ROOT / "docs" / "settings.md"


def whole() -> str:
    """Give the table of every metric, the documented ones in bold."""
    return reference.markdown()


def documented() -> str:
    """Give the rows of the documented metrics alone, where nothing has to stand out."""
    head, rule, *rows = whole().splitlines()
    return "\n".join([head, rule, *(row.replace("**", "") for row in rows if "**" in row)])


TABLES = {METRICS: ("metrics", whole), README: ("metrics", documented), SETTINGS: ("variables", variables.markdown)}
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
