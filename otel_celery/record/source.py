"""The reader that is on the provider from the start, so that the port misses nothing, whenever it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import InMemoryMetricReader

if TYPE_CHECKING:
    from collections.abc import Callable


class SourceReader(InMemoryMetricReader):
    """Collects when it is asked, cumulatively; what shows its metrics hears of the provider's end."""

    on_shutdown: Callable[[], None] | None = None

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Have nothing shown any more: the provider, which may be the application's, is shut down."""
        super().shutdown(timeout_millis)
        if self.on_shutdown is not None:
            self.on_shutdown()
            self.on_shutdown = None
