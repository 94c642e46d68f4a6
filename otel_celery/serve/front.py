"""The page at ``/`` and the runbook, for people: HTML for a browser, lines of text for all others.

It shows a collection that scrapes share while somebody looks, so that looking costs no more than a scrape. What is on
it is written by ``Page``, which the port does not know: it is imported at the first request, in the port's thread,
which holds the fork gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from otel_celery.serve.answer import Answer, sentence
from otel_celery.serve.exposition import accepts_html

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric as Family
    from prometheus_client.registry import Collector

    from otel_celery.serve.exposition import Exposition
    from otel_celery.serve.health import Health
    from otel_celery.serve.lines import Encoder

HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
VARY = ("Vary", "Accept")

MAX_REFRESH = 3600
"""Seconds between two refreshes at most."""


class Runbook(Protocol):
    """Writes the runbook."""

    headers: tuple[tuple[str, str], ...]
    """What keeps a browser from doing anything with it but to show it."""

    def html(self) -> bytes:
        """Write a document in HTML."""

    def text(self) -> bytes:
        """Write lines of text."""


class Page(Protocol):
    """Writes what is on the page; both are for people, and may change."""

    headers: tuple[tuple[str, str], ...]
    """The same."""

    @property
    def runbook(self) -> Runbook:
        """Give what writes the runbook."""

    def html(self, families: Iterable[Family], health: Health) -> bytes:
        """Write a document in HTML."""

    def text(self, families: Iterable[Family], health: Health) -> bytes:
        """Write a few lines of text."""

    def refreshing(self, html: bytes, seconds: int) -> bytes:
        """Have a document load itself again."""


class Front:
    """Answers a request for the page, or for the runbook."""

    def __init__(self, exposition: Exposition, health: Health, open_page: Callable[[], Page]) -> None:
        """Show what the exposition has, and the health; ``open_page`` is called once, at the first request."""
        self._exposition = exposition
        self._health = health
        self._open_page = open_page
        self._page: Page | None = None

    def answer(self, query: str, accept: str) -> Answer:
        """Answer by what the request accepts; ``refresh`` in the query has a browser load the page again and again.

        Raises the exceptions of the registry's collectors and of the page.
        """
        seconds = _refresh(query)
        if seconds is not None and not 1 <= seconds <= MAX_REFRESH:
            return sentence(400, f"refresh is a whole number of seconds from 1 to {MAX_REFRESH}")
        page = self._opened()
        headers = (VARY, *page.headers)
        if not accepts_html(accept):
            return Answer(200, self._rendered(TEXT, page.text), TEXT, headers)
        body = self._rendered(HTML, page.html)
        return Answer(200, body if seconds is None else page.refreshing(body, seconds), HTML, headers)

    def runbook(self, accept: str) -> Answer:
        """Answer with the runbook, by what the request accepts.

        Raises OSError if it cannot be read.
        """
        runbook = self._opened().runbook
        content_type, write = (HTML, runbook.html) if accepts_html(accept) else (TEXT, runbook.text)
        body = self._exposition.share(f"runbook: {content_type}", write)
        return Answer(200, body, content_type, (VARY, *runbook.headers))

    def _opened(self) -> Page:
        if self._page is None:
            self._page = self._open_page()
        return self._page

    def _rendered(self, content_type: str, write: Callable[[Iterable[Family], Health], bytes]) -> bytes:
        def encode(collection: Collector) -> bytes:
            return write(collection.collect(), self._health)

        encoder: Encoder = encode
        return self._exposition.look(content_type, encoder).body


def _refresh(query: str) -> int | None:
    """Return the seconds that a query asks for; None if it does not, 0 if what it asks for is no such number."""
    asked = [value for name, _, value in (pair.partition("=") for pair in query.split("&")) if name == "refresh"]
    if not asked:
        return None
    return int(asked[-1]) if asked[-1].isascii() and asked[-1].isdecimal() and len(asked[-1]) <= len("3600") else 0
