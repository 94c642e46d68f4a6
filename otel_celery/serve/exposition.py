"""Render the registry as text, in the format that a scrape asks for, and keep each rendering for MAX_AGE seconds.

Rendering holds the GIL of the process that hands tasks to the pool, so simultaneous scrapes share one rendering.
"""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

from otel_celery.serve.lines import Lines
from otel_celery.unobtrusive import consideration

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client.registry import Collector

    from otel_celery.serve.lines import Encoder

MAX_AGE = 0.25
"""Seconds for which a rendering is reused."""

MAX_FORMATS = 8
"""Renderings kept at once, one a format: a client may ask for any version number, and each is a format of its own."""

MAX_REMEMBERED = 2
"""Formats whose lines are remembered, which costs the text of every series once more; one scraper asks for one."""


@dataclass(slots=True)
class Rendering:
    """One rendering of the registry, and its gzip once a client has asked for that."""

    content_type: str
    body: bytes
    stale_at: float
    _packed: bytes | None = field(default=None, init=False)

    def packed(self) -> bytes:
        """Return the gzip of the body, compressed once, at zlib's fastest level."""
        if self._packed is None:
            self._packed = gzip.compress(self.body, compresslevel=1)
        return self._packed


class Exposition:
    """Renders a registry on demand; for one thread only."""

    def __init__(self, registry: Collector, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare to render this registry; the clock is monotonic, in seconds."""
        self._registry = registry
        self._clock = clock
        self._kept: dict[str, Rendering] = {}
        self._lines: dict[str, Lines] = {}

    def rendering(self, accept: str) -> Rendering:
        """Return a rendering in the format that an Accept header asks for, at most MAX_AGE seconds old.

        Raises the exceptions of the registry's collectors.
        """
        now = self._clock()
        self._kept = {name: kept for name, kept in self._kept.items() if now < kept.stale_at}
        encode, content_type = negotiated(accept)
        if len(self._kept) >= MAX_FORMATS and content_type not in self._kept:
            encode, content_type = negotiated("")
        if content_type not in self._kept:
            with consideration().working():
                body = self._remembering(content_type, encode)(self._registry)
            # The age counts from the end: a rendering that takes longer than MAX_AGE is the one most worth reusing.
            self._kept[content_type] = Rendering(content_type, body, self._clock() + MAX_AGE)
        return self._kept[content_type]

    def _remembering(self, content_type: str, encode: Encoder) -> Encoder:
        """Return the encoder that remembers a format's lines; the formats that were asked for last have one."""
        lines = self._lines.pop(content_type, None) or Lines(encode)
        self._lines[content_type] = lines
        if len(self._lines) > MAX_REMEMBERED:
            del self._lines[next(iter(self._lines))]
        return lines


def negotiated(accept: str) -> tuple[Encoder, str]:
    """Choose an encoder and its content type by an Accept header; an invalid header gets the text format."""
    try:
        return choose_encoder(accept)
    except Exception:  # noqa: BLE001  an invalid header, such as "version=one", raises various errors
        return choose_encoder("")


def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether an Accept-Encoding header allows gzip: by name or by ``*``, and not with q=0."""
    allowed: dict[str, bool] = {}
    for item in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in item.split(";"))
        allowed[coding] = all(_positive(parameter) for parameter in parameters if parameter.startswith("q="))
    return allowed.get("gzip", allowed.get("*", False))


def _positive(quality: str) -> bool:
    try:
        return float(quality.removeprefix("q=")) > 0
    except ValueError:
        return False
