"""The runbook as the port shows it: runbook.html is made of devops/monitoring/RUNBOOK.md by ``make generated``.

It is read when somebody asks for it, and never kept.
"""

from __future__ import annotations

import html
import re
from importlib import resources

from otel_celery.page import words
from otel_celery.page.style import RUNBOOK_STYLE, headers

BODY = resources.files("otel_celery.page") / "runbook.html"
"""It need not be a file: an application may run out of a zip."""

_WRITTEN = """<!doctype html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex">
<title>Runbook</title>
<style>{style}</style>
</head>
<body>
<nav><a href="../">{who}</a><a href="#by-severity">all alerts</a></nav>
{body}</body>
</html>
"""

_ELEMENTS = (
    (r"</t[dh]>\n(?=<t)", "  "),
    (r"</?(?:tr|tbody|thead)>\n(?=</?t)", ""),
    (r"<(?:tr|tbody|thead)>\n", ""),
    (r"<h1[^>]*>", "\n# "),
    (r"<h2[^>]*>", "\n## "),
    (r"<h3[^>]*>", "\n### "),
    (r"<h4[^>]*>", "\n#### "),
    (r"<(?:p|pre|table)>", "\n"),
    (r"<[^>]*>", ""),
    (r"\n{3,}", "\n\n"),
)
"""What is in the place of each element in text, in this order."""


class Runbook:
    """What each alert means, how to look, and what to do."""

    headers: tuple[tuple[str, str], ...] = headers(RUNBOOK_STYLE)

    def __init__(self, who: str) -> None:
        """``who`` is what the link back to the page says, such as ``worker w@h``."""
        self._who = who

    def html(self) -> bytes:
        """Write the document for a browser; each alert's section has its name, in lower case, as an anchor."""
        who = html.escape(words.name(self._who))
        return _WRITTEN.format(style=RUNBOOK_STYLE, who=who, body=_body()).encode()

    def text(self) -> bytes:
        """Write it for a terminal."""
        return text().encode()


def text() -> str:
    """Give all of it as text."""
    return plain(_body())


def section(name: str) -> str | None:
    """Give the section of an alert as text, by its name in upper or lower case; None if there is none."""
    found = re.search(rf'<h2 id="{re.escape(name.lower())}">.*?(?=<h2 |\Z)', _body(), re.DOTALL)
    return plain(found[0]) if found else None


def names() -> list[str]:
    """List the alerts that have a section."""
    return re.findall(r"<h2 [^>]*>([^<]*)</h2>", _body())


def plain(body: str) -> str:
    """Take the elements out of the body: a heading keeps its depth, and each row is a line."""
    for pattern, instead in _ELEMENTS:
        body = re.sub(pattern, instead, body)
    return html.unescape(body).lstrip()


def _body() -> str:
    return BODY.read_text(encoding="utf-8")
