"""Writes the runbook as the port shows it: ``python -m devops.monitoring.runbook``.

A worker has no Markdown library, and is to get none: otel_celery/page/runbook.html is made of RUNBOOK.md here.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it.token import Token

HERE = Path(__file__).parent
SOURCE = HERE / "RUNBOOK.md"
MADE = HERE.parents[1] / "otel_celery" / "page" / "runbook.html"


def text() -> str:
    """Write the body of the document: each heading has the anchor that alerts and the index name."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(_without_comments(SOURCE.read_text("utf-8")))
    for heading, words in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", anchor(words.content))
        words.children = [*_followed(words.children or [])]
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def anchor(heading: str) -> str:
    """Name a heading as GitHub does."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _without_comments(page: str) -> str:
    return re.sub(r"^<!--.*-->\n", "", page, flags=re.MULTILINE)


def _followed(tokens: Sequence[Token]) -> Iterator[Token]:
    """Keep the links within the runbook: the files beside it are not on the port, and its addresses are examples."""
    is_kept = True
    for token in tokens:
        if token.type == "link_open":
            is_kept = str(token.attrGet("href")).startswith("#")
        if is_kept or token.type not in {"link_open", "link_close"}:
            yield token
        is_kept = is_kept or token.type == "link_close"


if __name__ == "__main__":
    MADE.write_text(text(), "utf-8")
