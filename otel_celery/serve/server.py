"""The endpoint: opens the port in the caller's thread, and serves it in a daemon thread until ``close()``."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from otel_celery.ending import THREAD_SECONDS
from otel_celery.forks import gate
from otel_celery.serve.access import Certificates, Credentials
from otel_celery.serve.connection import Connection
from otel_celery.serve.exposition import Exposition
from otel_celery.serve.front import Front
from otel_celery.serve.hosts import Hosts
from otel_celery.serve.listeners import addresses, listen
from otel_celery.serve.loop import Loop, connection_limit
from otel_celery.serve.site import Site
from otel_celery.serve.wires import PlainWire, TLSWire

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from prometheus_client.registry import Collector

    from otel_celery.serve.front import Page
    from otel_celery.serve.health import Health
    from otel_celery.serve.protocol import Conversation
    from otel_celery.settings.settings import Port

LATE_SECONDS = 2.0
"""How long the thread waits before it imports what renders, at most: until then the process itself starts.

A worker waits for its neighbours' answers for one second, and is ready then.
"""

_logger = logging.getLogger("otel_celery.serve")


def open_endpoint(  # noqa: PLR0913  five are keywords, and none can be left out
    port: Port,
    open_registry: Callable[[], Collector],
    health: Health,
    *,
    open_page: Callable[[], Page],
    on_open: Callable[[int], None],
    on_taken: Callable[[OSError], None],
    on_error: Callable[[str, Exception], None],
    retry_seconds: float = 1.0,
) -> Endpoint:
    """Serve a registry and a process's health on a port, and a page of both.

    ``open_registry`` is called at the first scrape or after LATE_SECONDS, and ``open_page`` at the first request for
    the page, both in the endpoint's thread, which holds the fork gate.
    ``on_open`` gets the port's number once the port is open, in the caller's thread if it is free at once. A port that
    cannot be bound is reported once to ``on_taken``; unless that raises, the endpoint's thread tries again every
    ``retry_seconds``. ``on_error`` gets, in the endpoint's thread, the place and the exception of each error of ours
    that was kept from the worker.

    Raises AccessError when the TLS files cannot be used, OSError when the process has no descriptor left,
    and the exceptions of ``on_open`` and ``on_taken`` in the caller's thread.
    """
    report = _guarded(on_error)
    certificates = None if port.tls is None else Certificates(port.tls)
    credentials = None if port.credentials is None else Credentials(port.credentials)
    exposition = Exposition(open_registry)
    site = Site(exposition, Front(exposition, health, open_page), health, credentials, report)
    hosts = Hosts(port.host)

    def welcome(sock: socket.socket) -> Connection:
        wire = PlainWire() if certificates is None else TLSWire(certificates.context())
        return Connection(sock, wire, _conversation()(hosts.guard(sock, site.answer)))

    endpoint = Endpoint(port, welcome, exposition, on_open, report, retry_seconds)
    endpoint.start(on_taken)
    return endpoint


class Endpoint:
    """An HTTP port and its thread; made by ``open_endpoint``."""

    def __init__(  # noqa: PLR0913, PLR0917  made in one place
        self,
        port: Port,
        welcome: Callable[[socket.socket], Connection],
        exposition: Exposition,
        on_open: Callable[[int], None],
        report: Callable[[str, Exception], None],
        retry_seconds: float,
    ) -> None:
        """Prepare; ``start`` opens the port. The exposition forgets before each wait what nobody needs."""
        self.port = port.number
        self._settings = port
        self._exposition = exposition
        self._on_open = on_open
        self._report = report
        self._retry_seconds = retry_seconds
        self._retry_at: float | None = None
        self._prepare_at: float | None = time.monotonic() + LATE_SECONDS
        self._closing = False
        self._gate = gate()
        self._loop = Loop(self._gate, welcome, report, connection_limit())
        self._thread = threading.Thread(target=self._run, name="otel-celery-serve", daemon=True)

    @property
    def url(self) -> str:
        """Return the port's URL, without a path."""
        scheme = "http" if self._settings.tls is None else "https"
        host = self._settings.host
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    def start(self, on_taken: Callable[[OSError], None]) -> None:
        """Bind the port, or report that it is taken; then serve, or keep trying, in a thread.

        Raises the exceptions of the callbacks, after closing everything.
        """
        self._gate.watch(self)
        try:
            try:
                self._bind()
            except OSError as error:
                on_taken(error)
                self._retry_at = time.monotonic() + self._retry_seconds
            else:
                self._on_open(self.port)
            self._thread.start()
        except BaseException:
            self._release()
            raise

    def close(self) -> None:
        """Stop serving and free the port; never raise, and do nothing a second time or in a forked child."""
        if self._closing:
            return
        self._closing = True
        self._loop.wake()
        try:
            if threading.current_thread() is not self._thread:
                self._thread.join(THREAD_SECONDS)
            if self._thread.is_alive():
                self._loop.close_listeners()  # a scrape that hangs must not keep the port
        except Exception:
            _logger.exception("The port could not be closed")

    def abandon(self) -> None:
        """Close a forked child's copies of the descriptors; no thread serves there."""
        self._closing = True
        self._loop.abandon()

    def _bind(self) -> None:
        where = addresses(self._settings.host)
        with self._gate.hold():
            listeners = listen(where, self._settings.number)
            self._loop.listen(listeners)
        self.port = listeners[0].getsockname()[1]

    def _run(self) -> None:
        while not self._closing:
            try:
                self._loop.turn(self._next())
                self._bind_again()
                self._prepare()
            except Exception as error:  # noqa: BLE001  an error of ours must neither end the port nor spin
                self._report("serve", error)
                time.sleep(0.1)
        self._release()

    def _next(self) -> float | None:
        moments = (self._retry_at, self._prepare_at, self._exposition.forget())
        return min((moment for moment in moments if moment is not None), default=None)

    def _prepare(self) -> None:
        """Import what renders before somebody asks for it: what fails then is said at once."""
        if self._prepare_at is not None and time.monotonic() >= self._prepare_at and not self._closing:
            self._prepare_at = None
            _conversation()
            self._exposition.prepare()

    def _bind_again(self) -> None:
        if self._closing or self._retry_at is None or time.monotonic() < self._retry_at:
            return
        try:
            self._bind()
        except OSError:
            self._retry_at = time.monotonic() + self._retry_seconds
            return
        self._retry_at = None
        self._on_open(self.port)

    def _release(self) -> None:
        self._closing = True
        self._loop.close()
        self._gate.forget(self)


def _conversation() -> type[Conversation]:
    """Return the class of a client's conversation: h11, which it needs, is imported with the first client."""
    with gate().importing():
        from otel_celery.serve.protocol import Conversation  # noqa: PLC0415  the process is ready the sooner

    return Conversation


def _guarded(on_error: Callable[[str, Exception], None]) -> Callable[[str, Exception], None]:
    def report(where: str, error: Exception) -> None:
        try:
            on_error(where, error)
        except Exception:
            _logger.exception("An error in %r could not be reported", where)

    return report
