"""Writes README's table of metrics anew, from the catalogue; a test holds the two together."""

from __future__ import annotations

from pathlib import Path

from otel_celery.record import reference

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- metrics: made by `otel-celery metrics --format markdown` -->\n"
END = "<!-- /metrics -->\n"


def renewed(text: str) -> str:
    """Return README's text with the table that the catalogue makes."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{reference.markdown()}\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
