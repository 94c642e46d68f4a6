"""The formats of an exposition, by what a client accepts; to import this is to import prometheus_client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

from otel_celery.serve.lines import Lines

if TYPE_CHECKING:
    from otel_celery.serve.lines import Encoder

MAX_REMEMBERED = 4
"""Formats whose lines are remembered: those of Prometheus 2 and 3, plain text, and one more that somebody tries.

Where more are asked for in turn each scrape is encoded anew, which takes six times as long. A format more costs the
values of every series, since what its lines begin with is shared.
"""


class Formats:
    """Chooses encoders; the formats that were asked for last have one that remembers their lines."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._lines: dict[str, Lines] = {}

    @staticmethod
    def negotiated(accept: str) -> tuple[Encoder, str]:
        """Choose an encoder and its content type by an Accept header; an invalid header gets the text format."""
        try:
            return choose_encoder(accept)
        except Exception:  # noqa: BLE001  an invalid header, such as "version=one", raises various errors
            return choose_encoder("")

    def remembering(self, content_type: str, encode: Encoder) -> Encoder:
        """Return the encoder that remembers a format's lines."""
        lines = self._lines.pop(content_type, None) or Lines(encode, self._lines.values())
        self._lines[content_type] = lines
        if len(self._lines) > MAX_REMEMBERED:
            del self._lines[next(iter(self._lines))]
        return lines
