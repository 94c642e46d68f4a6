"""Writes the tables of metrics anew, from the catalogue: all in docs/metrics.md, the documented ones in README."""

from __future__ import annotations

from pathlib import Path

from otel_celery.record import reference

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
METRICS = ROOT / "docs" / "metrics.md"
BEGIN = "<!-- metrics: made by `make generated` -->\n"
END = "<!-- /metrics -->\n"


def whole() -> str:
    """Give the table of every metric, the documented ones in bold."""
    return reference.markdown()


def documented() -> str:
    """Give the rows of the documented metrics alone, where nothing has to stand out."""
    head, rule, *rows = whole().splitlines()
    return "\n".join([head, rule, *(row.replace("**", "") for row in rows if "**" in row)])


TABLES = {METRICS: whole, README: documented}
"""Which page has which table, between its two marks."""


def renewed(text: str, table: str) -> str:
    """Return a page's text with its table made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no place for the table: {BEGIN.strip()} ... {END.strip()}")
    return f"{before}{BEGIN}\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    for page, table in TABLES.items():
        page.write_text(renewed(page.read_text("utf-8"), table()), "utf-8")
