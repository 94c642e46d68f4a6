"""The relay in a pool child: installed as the process begins, and idle until a task records something.

Until then there is no thread, no connection and no reader. It is installed anew in forks of the child.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider

from otel_celery.forks import is_child_of
from otel_celery.interruption import interruption
from otel_celery.relay import sdk
from otel_celery.relay.child.sender import Sender
from otel_celery.relay.wire import address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

    from otel_celery.forks import ForkGate
    from otel_celery.relay.wire.address import Address

_current: Child | None = None

_logger = logging.getLogger("otel_celery.relay")


def say_goodbye() -> None:
    """Send the last values of this process, if it is a child that has recorded anything; call it at an orderly end."""
    if _current is not None:
        _current.say_goodbye()


def enter_spawned(
    environ: MutableMapping[str, str], make: Callable[[], MeterProvider], length: int, gate: ForkGate
) -> bool:
    """Install the relay in this process if a main process has spawned it, and tell whether; forked children have it.

    ``make`` creates a provider where the application has set none; label values are cut to ``length`` characters.
    """
    where = address.read(environ)
    if where is None or not is_child_of(where.owner) or _current is not None:
        return False  # processes that tasks start inherit the variable too
    found = metrics.get_meter_provider()
    entered = Child(where, length, gate)
    if not isinstance(found, MeterProvider):
        found = make()
        sdk.bind(found)
    elif not where.feeds_application:
        entered.enter([], forked=False)
        entered.adopt(found)  # the application set it in each child on purpose
        return True
    entered.enter([found], forked=False)
    return True


class Child:
    """Sends the metrics of this process's providers to the main process."""

    def __init__(self, where: Address, label_length: int, gate: ForkGate) -> None:
        """Prepare; nothing happens before :meth:`enter`."""
        self._where = where
        self._length = label_length
        self._gate = gate
        self._providers: list[MeterProvider] = []
        self._sender: Sender | None = None
        self._failed = False

    def enter(self, providers: Iterable[MeterProvider], *, forked: bool) -> None:
        """Install the relay in a process that has just begun, for the providers that it inherited or found."""
        global _current  # noqa: PLW0603  a process has one, and signals carry no reference to it
        _current = self
        self._providers = []
        self._sender = Sender(self._where, self._length, self._arm)
        if forked:
            sdk.renew_proxies()
        for provider in providers:
            sdk.renew(provider)
            self.adopt(provider)
        sdk.on_set(self.adopt)
        self._gate.watch(self)

    def adopt(self, provider: Any) -> None:
        """Relay a provider that the application has set in this process; its own readers go on."""
        if isinstance(provider, MeterProvider) and provider not in self._providers:
            self._providers.append(provider)
            self._arm(provider)

    def abandon(self) -> None:
        """Install the relay anew in a process that a task forked; its parent's measurements are not sent from there."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.abandon()
        self.enter(self._providers, forked=True)

    def say_goodbye(self) -> None:
        """Send the last values of a process that ends in order."""
        if self._sender is not None:
            self._sender.say_goodbye()

    def _arm(self, provider: MeterProvider) -> None:
        sdk.on_use(provider, lambda: self._wake(provider))

    def _wake(self, provider: MeterProvider) -> bool:
        """Begin to send, and tell whether that worked.

        Called in the middle of a task. No exception may reach the task but its own time limit's.
        """
        try:
            if self._sender is not None:
                self._sender.wake(provider)
        except Exception as error:
            if (interrupted := interruption(error)) is not None:
                raise interrupted from None
            if not self._failed:
                self._failed = True
                _logger.exception("otel-celery: the metrics that this process records cannot be sent")
            return False
        return True
