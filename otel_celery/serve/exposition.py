"""The registry as text: format negotiated, rendered one at a time, and kept for a moment.

Rendering holds the GIL of the process that dispatches tasks; that is why twenty scrapers at once get one rendering.
"""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client.registry import Collector

    Encoder = Callable[[Collector], bytes]

MAX_AGE = 0.25
"""The seconds for which a rendering is handed out again."""

MAX_FORMATS = 8
"""How many formats are kept at once: a client may ask for any version number, and each would be a rendering."""


@dataclass(slots=True)
class Rendering:
    """One rendering, and its gzip once somebody asked for it."""

    content_type: str
    body: bytes
    stale_at: float
    _packed: bytes | None = field(default=None, init=False)

    def packed(self) -> bytes:
        """Return the gzip of the body, made once and as cheaply as zlib can."""
        if self._packed is None:
            self._packed = gzip.compress(self.body, compresslevel=1)
        return self._packed


class Exposition:
    """Renders a registry on demand; for one thread only."""

    def __init__(self, registry: Collector, clock: Callable[[], float] = time.monotonic) -> None:
        """Render this registry; the clock is monotonic, in seconds."""
        self._registry = registry
        self._clock = clock
        self._kept: dict[str, Rendering] = {}

    def rendering(self, accept: str) -> Rendering:
        """Return a rendering in the format that this Accept header asks for, at most MAX_AGE old.

        Raises whatever a collector of the registry raises.
        """
        now = self._clock()
        self._kept = {name: kept for name, kept in self._kept.items() if now < kept.stale_at}
        encode, content_type = negotiated(accept)
        if len(self._kept) >= MAX_FORMATS and content_type not in self._kept:
            encode, content_type = negotiated("")
        if content_type not in self._kept:
            body = encode(self._registry)
            # Counted from the end: a rendering that takes longer than MAX_AGE needs its keeping most.
            self._kept[content_type] = Rendering(content_type, body, self._clock() + MAX_AGE)
        return self._kept[content_type]


def negotiated(accept: str) -> tuple[Encoder, str]:
    """Choose encoder and content type; a header that makes no sense gets plain text."""
    try:
        return choose_encoder(accept)
    except Exception:  # noqa: BLE001  it raises several kinds on nonsense, such as "version=one"
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
