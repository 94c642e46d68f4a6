"""Refresh the figures in one thread of the background, so that a scrape never waits for a broker.

What is shown is never old: a queue, or a broker, that could not be asked has no figures until it answers again.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from otel_celery.lifecycle import Where
from otel_celery.masking import plain, quoted, reason
from otel_celery.queues.broker import Broker
from otel_celery.queues.figures import Figures
from otel_celery.queues.management import Management

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_celery.lifecycle import ErrorObserver
    from otel_celery.queues.broker import Make
    from otel_celery.queues.figures import Asked
    from otel_celery.settings.queues import Queues

LONGEST = 10.0
"""Seconds that a refresh may take at most; less where the interval is shorter."""

WAITS = 4
"""Waits for the broker that a refresh may consist of, if it hangs: redis-py tries a command four times."""

STUCK = 60.0
"""Seconds that a refresh hangs before the process counts as ill: its library takes no limit, or ignores it."""

MAX_SAID = 1_000
"""Queues of which it is remembered that a failure was logged."""

logger = logging.getLogger("otel_celery")


class Refresher:
    """The figures of the queues, refreshed at an interval; implements ``serve.health.Health``."""

    def __init__(
        self,
        make: Make,
        asked: Callable[[], Asked],
        settings: Queues,
        errors: ErrorObserver,
    ) -> None:
        """``make`` makes connections, and ``asked`` names the queues, anew for each refresh."""
        self.failures = 0
        """Questions that failed: one for each queue and refresh, and those of a management API."""
        self.refreshed_at: float | None = None
        """When the broker last answered, in seconds since the epoch."""
        self._asked = asked
        self._discovers = settings.discover
        self._interval = settings.interval
        self._longest = min(settings.interval, LONGEST)
        wait = self._longest / WAITS
        management = Management(settings.management, wait) if settings.management is not None else None
        self._broker = Broker(make, wait, management, self._failed)
        self._errors = errors
        self._shown: tuple[float, Mapping[str, Figures]] = 0.0, {}
        self._began: float | None = None
        self._trouble: str | None = "the broker has not been asked yet"
        self._said: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otel-celery-queues", daemon=True)

    def start(self) -> None:
        """Start the thread, which refreshes at once."""
        self._thread.start()

    def stop(self, wait: float = 0.0) -> None:
        """Have the thread close the connection and end, and wait so long for it; one that hangs is left alone."""
        self._over.set()
        if wait and self._thread.is_alive():
            self._thread.join(wait)

    def figures(self) -> Mapping[str, Figures]:
        """Return the figures by queue; none that are older than two intervals."""
        told_at, figures = self._shown
        return figures if time.monotonic() - told_at <= 2 * self._interval else {}

    def healthy(self) -> str | None:
        """Return why the process has to be started again: its thread hangs, or is gone."""
        began = self._began
        if began is not None and time.monotonic() - began > self._longest + STUCK:
            return f"a refresh of the queues has hung for {time.monotonic() - began:.0f} s"
        if self._thread.ident is not None and not self._thread.is_alive() and not self._over.is_set():
            return "the thread that asks the broker has ended"
        return None

    def ready(self) -> str | None:
        """Return why there are no figures, or None."""
        if self._trouble is None and not self.figures() and self._shown[0] + 2 * self._interval < time.monotonic():
            return "the broker has not answered for too long"
        return self._trouble

    def _run(self) -> None:
        while not self._over.is_set():
            self._began = time.monotonic()
            try:
                self._refresh(self._began + self._longest)
            except Exception as error:  # noqa: BLE001  the next refresh is tried
                self._shown = time.monotonic(), {}
                self.failures += 1
                self._trouble = plain(f"the queues could not be asked: {reason(error)}")
                self._errors.swallowed(Where.QUEUES, error)
            began, self._began = self._began, None
            self._over.wait(max(0.0, began + self._interval - time.monotonic()))
        self._broker.close()

    def _refresh(self, until: float) -> None:
        asked = replace(self._asked(), others=self._discovers)
        left, told, refused = dict.fromkeys(asked.names), dict[str, Figures](), list[Exception]()
        why: Exception = TimeoutError(f"it did not answer within {self._longest:g} s")
        try:
            for name, answer in self._broker.ask(asked, until):
                left.pop(name, None)
                if isinstance(answer, Exception):
                    refused.append(answer)
                    self._failed(f"queue {quoted(name)}", answer)
                elif answer is not None:
                    told[name] = answer
        except Exception as error:  # noqa: BLE001  a transport raises what its library raises
            why = error
            left = left or dict.fromkeys(["the broker"])
        self._shown = time.monotonic(), told
        if left:
            self.failures += len(left)
            self._broker.close()
            self._away(why)
        elif refused and len(refused) == len(asked.names):  # as from a virtual transport whose broker is away
            self._broker.close()
            self._away(refused[-1])
        else:
            self.refreshed_at = time.time()
            self._back()

    def _failed(self, what: str, error: Exception) -> None:
        """Count a question that failed alone, and log the first of each."""
        self.failures += 1
        if what not in self._said and len(self._said) < MAX_SAID:
            self._said.add(what)
            logger.warning(
                "otel-celery: %s could not be asked (%s); it has no figures until it can. This is said once.",
                what,
                reason(error),
            )

    def _away(self, why: Exception) -> None:
        sentence = plain(f"the broker could not be asked: {reason(why)}")
        if self._trouble is None or "has not been asked yet" in self._trouble:
            logger.warning(
                "otel-celery: %s; queues have no figures until it can, which is tried every %g s. This is said once.",
                sentence,
                self._interval,
            )
        self._trouble = sentence

    def _back(self) -> None:
        if self._trouble is not None and "could not be asked" in self._trouble:
            logger.info("otel-celery: the broker answers again")
        self._trouble = None
