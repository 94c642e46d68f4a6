"""Render the registry as each client asks for it, and keep each rendering for MAX_AGE seconds.

Collecting and rendering hold the GIL of the process that hands tasks to the pool, so simultaneous clients share one
rendering. While somebody looks at the page, it and all formats share one collection as well. At other times what was
collected is freed with the rendering, but for the samples that ``lines`` compares the next ones with: each object that
is kept is one more for the garbage collector to look at.
"""

from __future__ import annotations

import gzip
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_celery.forks import gate
from otel_celery.unobtrusive import consideration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric as Family
    from prometheus_client.registry import Collector

    from otel_celery.serve.formats import Formats
    from otel_celery.serve.lines import Encoder

MAX_AGE = 0.25
"""Seconds for which a rendering is reused, and a collection while somebody looks at the page."""

LOOKING = 60.0
"""Seconds after a request for the page in which somebody counts as looking at it; it may load itself again."""

MAX_FORMATS = 8
"""Renderings kept at once, one a format: a client may ask for any version number, and each is a format of its own."""

LEAST = 0.001
"""The lowest quality that forbids nothing, as HTTP writes it with three digits."""


@dataclass
class Rendering:
    """One rendering, and its gzip once a client has asked for that."""

    content_type: str
    body: bytes
    stale_at: float
    _packed: bytes | None = field(default=None, init=False)

    def packed(self) -> bytes:
        """Return the gzip of the body, compressed once, at zlib's fastest level."""
        if self._packed is None:
            self._packed = gzip.compress(self.body, compresslevel=1)
        return self._packed


@dataclass(slots=True)
class Collection:
    """What one collection found, in place of the registry for those who render it."""

    families: Iterable[Family]
    stale_at: float = math.inf

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        return self.families


class Exposition:
    """Collects and renders on demand; for one thread only."""

    def __init__(self, open_registry: Callable[[], Collector], clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare to render the registry that ``open_registry`` returns; the clock is monotonic, in seconds."""
        self._open_registry = open_registry
        self._clock = clock
        self._kept: dict[str, Rendering] = {}
        self._collection: Collection | None = None
        self._looked_until = -math.inf
        self._parts: tuple[Collector, Formats] | None = None

    def prepare(self) -> tuple[Collector, Formats]:
        """Return the registry and its formats: made, and prometheus_client imported, at the first call.

        That takes some 30 ms, which the start of a worker can do without. Raises the exceptions of ``open_registry``.
        """
        if self._parts is None:
            with gate().importing():
                from otel_celery.serve.formats import Formats  # noqa: PLC0415  it imports prometheus_client

                self._parts = self._open_registry(), Formats()
        return self._parts

    def rendering(self, accept: str) -> Rendering:
        """Return a rendering in the format that an Accept header asks for, at most MAX_AGE seconds old.

        Raises the exceptions of the registry's collectors.
        """
        self.forget()
        _, formats = self.prepare()
        encode, content_type = formats.negotiated(accept)
        if len(self._kept) >= MAX_FORMATS and content_type not in self._kept:
            encode, content_type = formats.negotiated("")
        if content_type not in self._kept:
            self._render(content_type, formats.remembering(content_type, encode))
        return self._kept[content_type]

    def look(self, content_type: str, encode: Encoder) -> Rendering:
        """Return a rendering for people, of the collection that scrapes share while somebody looks.

        Raises the exceptions of the registry's collectors, and of the encoder.
        """
        self.forget()
        self._looked_until = self._clock() + LOOKING
        if content_type not in self._kept:
            self._render(content_type, encode)
        return self._kept[content_type]

    def share(self, name: str, write: Callable[[], bytes]) -> bytes:
        """Return what ``write`` has written, which all who ask within MAX_AGE share; ``name`` is that of no format.

        Raises the exceptions of ``write``.
        """
        self.forget()
        if name not in self._kept:
            with consideration().working():
                body = write()
            self._kept[name] = Rendering(name, body, self._clock() + MAX_AGE)
        return self._kept[name].body

    def forget(self) -> float | None:
        """Drop what is stale, since nobody needs its memory; return when the next of what is kept will be."""
        now = self._clock()
        self._kept = {name: kept for name, kept in self._kept.items() if now < kept.stale_at}
        if self._collection is not None and now >= self._collection.stale_at:
            self._collection = None
        moments = [kept.stale_at for kept in self._kept.values()]
        return min([*moments, *([] if self._collection is None else [self._collection.stale_at])], default=None)

    def _render(self, content_type: str, encode: Encoder) -> None:
        registry, _ = self.prepare()
        with consideration().working():
            if self._clock() >= self._looked_until:
                body, stale_at = encode(registry), math.inf
            else:
                body, stale_at = self._shared(registry, encode)
        # The age counts from the end: a rendering that takes longer than MAX_AGE is the one most worth reusing.
        self._kept[content_type] = Rendering(content_type, body, min(stale_at, self._clock() + MAX_AGE))

    def _shared(self, registry: Collector, encode: Encoder) -> tuple[bytes, float]:
        """Render a collection that is kept for others, until MAX_AGE after its first rendering."""
        if self._collection is None:
            self._collection = Collection(list(registry.collect()))
        collection = self._collection
        try:
            return encode(collection), collection.stale_at
        finally:
            collection.stale_at = min(collection.stale_at, self._clock() + MAX_AGE)


def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether an Accept-Encoding header allows gzip: by name or by ``*``, and not with q=0."""
    wanted = _wanted(accept_encoding)
    return wanted.get("gzip", wanted.get("*", 0.0)) > 0


def accepts_html(accept: str) -> bool:
    """Tell whether an Accept header names HTML, and wants it no less than text.

    That of a browser does; that of curl, ``*/*``, names neither.
    """
    wanted = _wanted(accept)
    text = wanted.get("text/plain", wanted.get("text/*", wanted.get("*/*", 0.0)))
    return wanted.get("text/html", 0.0) >= max(text, LEAST)


def _wanted(header: str) -> dict[str, float]:
    """Tell how much each thing that a header names is wanted: its quality, from 0, which forbids it, to 1."""
    wanted: dict[str, float] = {}
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        wanted[name] = min((_quality(each) for each in parameters if each.startswith("q=")), default=1.0)
    return wanted


def _quality(parameter: str) -> float:
    """Read a quality; what is none counts as 0."""
    try:
        quality = float(parameter.removeprefix("q="))
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
