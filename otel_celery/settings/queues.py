"""Read the settings of the queues: how often a broker is asked, and where RabbitMQ's management API is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_celery.settings import variables
from otel_celery.settings.otlp import is_place, keep_secrets
from otel_celery.settings.reader import SettingsError

if TYPE_CHECKING:
    from otel_celery.settings.reader import Reader


class Queues(NamedTuple):
    """The settings of the queues."""

    in_worker: bool = False
    """Whether a worker asks the broker, besides its work."""
    discover: bool = True
    """Whether queues that nobody has named are shown, where the broker lists them."""
    interval: float = variables.QUEUES_INTERVAL.default / 1000
    """Seconds from the start of one refresh to the start of the next."""
    management: str | None = None
    """The URL of RabbitMQ's management API; its user and password may stand in it."""

    def __repr__(self) -> str:
        """Leave out the URL."""
        return f"{type(self).__name__}(in_worker={self.in_worker}, discover={self.discover}, interval={self.interval})"


def queues(reader: Reader) -> Queues:
    """Read them.

    Raises SettingsError on the first value that is not allowed.
    """
    management = variables.QUEUES_MANAGEMENT.read(reader) or None
    if management is not None:
        if not is_place(management, {"http", "https"}):
            raise SettingsError(
                variables.QUEUES_MANAGEMENT.name, management, "a URL that begins with http:// or https://"
            )
        keep_secrets(management)
    return Queues(
        in_worker=variables.QUEUES.read(reader),
        discover=variables.QUEUES_DISCOVER.read(reader),
        interval=variables.QUEUES_INTERVAL.read(reader) / 1000,
        management=management,
    )
