"""The instrumentation of one beat: a class in front of its scheduler, and a station that serves and pushes.

It begins at ``beat_init``: the scheduler is made by then, logging is set up, and nothing has been sent. It ends with
the process.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from billiard.util import Finalize

from otel_celery.beat.front import UnobservedError, put_in_front, take_away
from otel_celery.beat.pulse import Pulse
from otel_celery.beat.watch import Watch
from otel_celery.lifecycle import Where
from otel_celery.masking import RefusedError, represented
from otel_celery.record.beats import BeatTallies
from otel_celery.saying import say
from otel_celery.serve.health import BeatHealth
from otel_celery.settings import off, variables
from otel_celery.settings import settings as environment
from otel_celery.station import Station, read

if TYPE_CHECKING:
    from otel_celery.settings.settings import Settings

NAME = "celery-beat"
"""The name in sentences, and the service's where the environment has none."""


def begin(service: Any, *, is_embedded: bool) -> BeatSession | None:
    """Observe the beat of a Service, if the environment says so; ``is_embedded`` if a worker has started it (``-B``).

    Raises SystemExit in a strict environment with a mistake, or a port that is taken.
    """
    try:
        return _begun(service, is_embedded=is_embedded)
    except UnobservedError as error:
        say(logging.ERROR, str(error))
    except RefusedError as error:
        if environment.is_strict(os.environ):
            say(logging.ERROR, f"{error}{environment.ends('process')}")
            raise SystemExit(environment.EX_CONFIG) from error
        say(logging.ERROR, f"{error}; metrics of {NAME} are off")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  a plug-in may raise any; beat runs on without us
        say(logging.ERROR, f"could not start, metrics of {NAME} are off: {represented(error)}")
    return None


def _begun(service: Any, *, is_embedded: bool) -> BeatSession | None:
    whole = read(os.environ, NAME)
    if whole is None:
        return None
    settings = whole.of_beat(is_embedded=is_embedded)
    if settings.enabled:
        session = BeatSession(service.scheduler, settings)
        session.install()
        return session
    if not is_embedded:
        for warning in whole.warnings:
            say(logging.WARNING, warning)
        off.say(os.environ, whole, NAME)
    elif whole.enabled:
        say(
            logging.WARNING,
            f"the beat in this worker (-B) is a process of its own, whose metrics are not served: set "
            f"{variables.BEAT_PORT.name} to a port for them",
        )
    return None


class BeatSession:
    """One beat, observed, recorded and served."""

    def __init__(self, scheduler: Any, settings: Settings) -> None:
        """Make the parts; the scheduler stays untouched until :meth:`install`."""
        self._scheduler = scheduler
        pulse = Pulse()
        self._station = Station(settings, NAME, BeatHealth(pulse), Where.BEAT)
        tallies = BeatTallies(self._station.labels, self._station.histogram)
        self._station.show(tallies.readings(pulse))
        self._watch = Watch(tallies, self._station.errors, pulse)
        self.publishes = self._station.publishes()
        """Counts what this beat publishes, its own entries and what else its process sends."""

    def install(self) -> None:
        """Put a class in front of the scheduler's, and open the port.

        Raises UnobservedError for a scheduler that cannot be observed, SystemExit in a strict environment for a port
        that is taken.
        """
        try:
            put_in_front(self._scheduler, self._watch)
        except UnobservedError:
            self._station.close()
            raise
        self._finalizer = Finalize(None, self._station.close, exitpriority=0)  # billiard's processes have no atexit
        self._station.open()

    def uninstall(self) -> None:
        """Stop observing and exporting."""
        take_away(self._scheduler)
        self._finalizer.cancel()
        self._station.close()
