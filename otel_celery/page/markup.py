"""The page in HTML. Every value passes ``_safe``; without it nothing but this module's own words gets in."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from otel_celery.page import words
from otel_celery.page.style import STYLE
from otel_celery.page.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.page.overview import Overview
    from otel_celery.page.tables import Table

FAILED = TASKS.heads.index("failed")
"""The column of tasks whose figure stands out if it is not zero."""

_BEFORE_REFRESH = '<meta charset="utf-8">'

_WRITTEN = """<!doctype html>
<html lang="en-GB">
<head>
{charset}
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex">
<title>{who}: {state}</title>
<style>{style}</style>
</head>
<body>
<h1>{who}</h1>
<p class="state {mood}">{state}</p>
<dl>
{facts}</dl>
{troubles}{tables}<p class="dim">{about}</p>
<nav><a href="metrics">/metrics</a><a href="-/ready">/-/ready</a><a href="{runbook}" rel="noreferrer">runbook</a></nav>
<p class="dim">As of {made_at}. Load again every <a href="?refresh=5">5 s</a>, <a href="?refresh=60">60 s</a>,
<a href="./">never</a>.</p>
</body>
</html>
"""

ABOUT = "Counts and durations are since the process started."


def write(shown: Overview, runbook: str) -> str:
    """Write the document; ``runbook`` is where a link to it leads."""
    return _WRITTEN.format(
        charset=_BEFORE_REFRESH,
        who=_safe(shown.who),
        state=_safe(shown.state),
        mood=_safe(shown.mood),
        style=STYLE,
        facts="".join(_facts(shown)),
        troubles="".join(f'<p class="waiting">{_safe(trouble)}</p>\n' for trouble in shown.troubles),
        tables="".join(map(_table, shown.tables)),
        about=ABOUT,
        runbook=_safe(runbook),
        made_at=_safe(shown.made_at),
    )


def refreshing(document: bytes, seconds: int) -> bytes:
    """Have a document load itself again after so many seconds."""
    before = _BEFORE_REFRESH.encode()
    return document.replace(before, before + f'\n<meta http-equiv="refresh" content="{seconds:d}">'.encode(), 1)


def _facts(shown: Overview) -> Iterator[str]:
    for heading, fact in shown.facts:
        yield f"<dt>{_safe(heading)}</dt><dd>{_safe(fact)}{_meter(shown) if heading == 'busy' else ''}</dd>\n"


def _meter(shown: Overview) -> str:
    if shown.busy is None:
        return ""
    active, size = shown.busy
    return f'<meter max="{size:g}" value="{active:g}" aria-hidden="true"></meter>'


def _table(table: Table) -> str:
    columns = table.columns
    heads = "".join(f'<th scope="col">{_safe(head)}' for head in columns.heads)
    rows = "".join(_row(row, FAILED if columns is TASKS else 0) for row in table.rows)
    rest = f"<p>{_safe(table.rest)}</p>\n" if table.rest else ""
    return (
        f'<h2>{_safe(columns.title)}</h2>\n<table class="{_safe(columns.key)}">\n'
        f"<thead><tr>{heads}</thead>\n<tbody>\n{rows}</tbody>\n</table>\n{rest}"
    )


def _row(row: tuple[str, ...], stressed: int) -> str:
    cells = [f"<td>{_safe(cell)}" for cell in row]
    cells[0] = f'<th scope="row">{_safe(row[0])}'
    if stressed and row[stressed] not in {"0", words.NOTHING}:
        cells[stressed] = f'<td class="bad">{_safe(row[stressed])}'
    return f"<tr>{''.join(cells)}\n"


def _safe(value: str) -> str:
    return html.escape(value, quote=True)
