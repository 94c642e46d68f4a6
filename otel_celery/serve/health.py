"""Alive, ready, and the sentence why not: what the port asks of whoever knows the worker."""

from __future__ import annotations

from typing import Protocol


class Health(Protocol):
    """Asked from the endpoint's thread, so it must neither block nor wait for the worker."""

    def healthy(self) -> str | None:
        """Return None if the worker is alive, else the sentence that says why it is not."""

    def ready(self) -> str | None:
        """Return None if the worker takes tasks, else the sentence that says why it does not."""
