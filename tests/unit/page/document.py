"""The page as a browser reads it: its elements, its facts and tables, and its text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from prometheus_client import Metric

FIGURES = {"th", "td"}
FACTS = {"dt", "dd"}


def scraped(text: str) -> list[Metric]:
    """Read an exposition into families."""
    return list(text_string_to_metric_families(text))


class Document(HTMLParser):
    """A parsed document."""

    def __init__(self, document: str) -> None:
        """Parse it."""
        super().__init__()
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.texts: list[tuple[str, str]] = [("", "")]
        """Each element that has text, with that."""
        self._tables: list[list[list[str]]] = []
        """Of each table its rows, the headings first."""
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, tuple(attrs)))
        self.texts.append((tag, ""))
        if tag == "table":
            self._tables.append([])
        elif tag == "tr":
            self._tables[-1].append([])
        elif tag in FIGURES:
            self._tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  the parser hands it over
        """Leave an element; what follows is text of none."""
        self.texts.append(("", ""))

    def handle_data(self, data: str) -> None:
        """Note the text of an element, or of a cell."""
        tag, before = self.texts[-1]
        self.texts[-1] = tag, before + data
        if tag in FIGURES:
            self._tables[-1][-1][-1] += data.rstrip("\n")

    def text(self, tag: str) -> str:
        """Return the text of the first element of this tag."""
        return next(text for each, text in self.texts if each == tag)

    @property
    def facts(self) -> dict[str, str]:
        """Return the headings of the facts with their words."""
        told = [text for tag, text in self.texts if tag in FACTS]
        return dict(zip(told[::2], told[1::2], strict=True))

    def rows(self, column: str = "received") -> dict[str, dict[str, str]]:
        """Return the figures of the table with this column, by the names of its rows and columns."""
        for heads, *rows in self._tables:
            if column in heads:
                return {row[0]: dict(zip(heads[1:], row[1:], strict=True)) for row in rows}
        return {}
