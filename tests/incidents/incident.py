"""What an incident is: what is there, what happens, and what somebody should hear of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tests import services

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.incidents.place import Place


class Incident:
    """One incident; a subclass's docstring says in one sentence what happens."""

    name: ClassVar[str]
    pages: ClassVar[Mapping[str, float]] = {}
    """The alerts that page, each once, and the minutes after the incident's beginning within which they do."""
    warns: ClassVar[Mapping[str, float]] = {}
    """The same of those that wait for the morning."""
    may_warn: ClassVar[frozenset[str]] = frozenset()
    """Warnings that come or not: their cause is there for about as long as it takes to tell of it."""
    kept_back: ClassVar[frozenset[str]] = frozenset()
    """Alerts that fire, and of which nobody is told, since a page says why."""
    names: ClassVar[Mapping[str, str]] = {}
    """Labels that each page has."""
    calm: ClassVar[float] = 6
    """Minutes of which all is well at first: windows of five have their samples; 0 where nothing ever was."""
    lasts: ClassVar[float] = 12
    """Minutes from the incident's beginning to its end."""
    over: ClassVar[float] = 30
    """Minutes after its end within which everything that was told is resolved."""
    every: ClassVar[float] = 0
    """Minutes between two of its steps, from its beginning to its end; 0 where it has none."""
    worst: ClassVar[bool] = False
    """Whether it is played on every submission."""

    def broker(self, directory: Path) -> AbstractContextManager[str]:  # noqa: ARG002  for what is kept in files
        """Start the broker, and give its URL."""
        return services.redis_server()

    def set_up(self, place: Place) -> None:
        """Start what is there while all is well."""

    def begin(self, place: Place) -> None:
        """Have it happen."""

    def step(self, place: Place, number: int) -> None:
        """Do what is done every so often, the first time with the number 0."""

    def end(self, place: Place) -> None:
        """Put it right, as the runbook says."""

    @classmethod
    def told(cls) -> dict[str, float]:
        """Give everything that somebody is told, and within how many minutes."""
        return {**cls.pages, **cls.warns}
