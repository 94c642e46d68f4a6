"""The roster: which endpoints there are, by all sources; one that fails for a while takes none of its own away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from otel_celery.watch.endpoints import EndpointError, united
from otel_celery.watch.model import Note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_celery.watch.endpoints import Endpoint
    from otel_celery.watch.sources import Found, Source

NO_TARGETS = "NoTargets"
"""A source tells nothing now."""
BAD_TARGET = "BadTarget"
"""A source names what is no endpoint."""
NO_ENDPOINT = Note(
    "NoEndpoint", "", "there is no endpoint to ask", "Name one, or have its file or its Prometheus tell one."
)


class Roster:
    """Keeps what each source told last."""

    def __init__(self, sources: Sequence[Source]) -> None:
        """Ask these."""
        self._sources = sources
        self._told: dict[int, Found] = {}
        self._failures: dict[int, str] = {}

    async def find(self) -> dict[str, Endpoint]:
        """Ask all sources, and list the endpoints by their URLs, each once."""
        found = await asyncio.gather(*(source.find() for source in self._sources), return_exceptions=True)
        self._failures = {}
        for number, each in enumerate(found):
            if isinstance(each, EndpointError):
                self._failures[number] = str(each)
            elif isinstance(each, BaseException):
                raise each
            else:
                self._told[number] = each
        return united(endpoint for number in sorted(self._told) for endpoint in self._told[number].endpoints)

    def notes(self) -> Iterator[Note]:
        """Say which sources fail, and what they name that is no endpoint."""
        for number, source in enumerate(self._sources):
            if why := self._failures.get(number):
                yield Note(NO_TARGETS, source.place, why, "See that it is there, and that it is what was meant.")
            elif (told := self._told.get(number)) and told.fault:
                yield Note(BAD_TARGET, source.place, told.fault, "Correct it there; its neighbours are asked.")
