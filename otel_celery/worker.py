"""A worker's start-up hook: who is instrumented, what the environment asks for, and what is said of mistakes.

Everything is installed at ``worker_init``: after the app and the ``-I`` modules are imported, before the pool forks,
and the same moment whichever way we were switched on. What is to be said of it is said a moment later, once the
worker's logging is set up, and a strict worker ends then: nobody reads the stderr of a worker that was detached.
"""

from __future__ import annotations

import logging
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

from celery import signals

from otel_celery.commandline import is_spawned_child
from otel_celery.masking import RefusedError, plain
from otel_celery.saying import say
from otel_celery.settings import settings as environment
from otel_celery.trace import entry

if TYPE_CHECKING:
    from otel_celery.session import Session

logger = logging.getLogger("otel_celery")

_handles: weakref.WeakKeyDictionary[Any, Instrumentation] = weakref.WeakKeyDictionary()
"""By app; a handle knows its app weakly, so that both are gone when the application has forgotten it."""


def instrument(app: Any) -> Instrumentation:
    """Have the workers of ``app`` export their metrics, if the environment switches them on.

    Returns the same handle for the same app. Never raises on account of the environment: a bad value is said when
    a worker starts, and ends it only under OTEL_PYTHON_CELERY_STRICT.
    """
    app = app._get_current_object() if hasattr(app, "_get_current_object") else app  # noqa: SLF001  Celery's proxies
    if app not in _handles:
        _handles[app] = Instrumentation(app)
    return _handles[app]


def on_worker_init(sender: Any, **_: object) -> None:
    """Instrument whichever app a worker is started for: the ways to switch on that name no app."""
    instrument(sender.app).start(sender)


def on_worker_process_init(sender: str, **_: object) -> None:
    """Have a pool's child that was spawned send its spans, and what its tasks record; a forked one never gets here."""
    _enter_spawned()
    for handle in list(_handles.values()):
        handle.close_publisher()
    entry.for_spawned_child(sender)


def _enter_spawned() -> None:
    try:
        settings = environment.read(os.environ)
        if settings.enabled and settings.child_metrics:
            from otel_celery import spawned  # noqa: PLC0415  only where metrics are asked for

            spawned.enter(settings)
    except environment.SettingsError:
        pass  # the main process has said it, and its metrics are off
    except Exception as error:  # noqa: BLE001  the child runs on without us
        say(logging.ERROR, f"what tasks record in this process is not shown: {plain(repr(error))}")


class Instrumentation:
    """What :func:`instrument` returns: the instrumentation of one app's workers."""

    def __init__(self, app: Any) -> None:
        """Wait for a worker of ``app``."""
        self._app = weakref.ref(app)
        self._started: weakref.WeakSet[Any] = weakref.WeakSet()
        self.sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        """Those of this app's workers; each belongs to its worker, and goes with it."""
        signals.worker_init.connect(self._on_worker_init)
        if is_spawned_child(sys.orig_argv):
            signals.worker_process_init.connect(on_worker_process_init, weak=False)
        self._publisher = entry.for_publisher(app)

    def uninstrument(self) -> None:
        """Leave later requests unobserved, remove the reader and close the port; harmless when nothing runs."""
        signals.worker_init.disconnect(self._on_worker_init)
        signals.worker_process_init.disconnect(on_worker_process_init)
        if self._publisher is not None:
            self._publisher.uninstrument()
        app = self._app()
        self._publisher = None
        if app is not None:
            _handles.pop(app, None)
        for session in list(self.sessions):
            session.uninstall()

    def start_traces(self) -> None:
        """Make spans in this process from now on, and not only from its first message on.

        For a script that begins with a span of its own. Without OTEL_TRACES_EXPORTER, and in a worker, it does nothing.
        """
        if self._publisher is not None and not self._started:
            self._publisher.open()

    def close_publisher(self) -> None:
        """Leave the spans of what is published to the worker, or the pool's child, that this process is."""
        if self._publisher is not None:
            self._publisher.close()

    def start(self, worker: Any) -> None:
        """Install what the environment asks for, in a worker that is being initialised; a second time is ignored."""
        if worker in self._started:
            return
        self._started.add(worker)
        self.close_publisher()
        report = _Report(worker, is_strict=environment.is_strict(os.environ))
        try:
            self._install(worker, report)
        except RefusedError as error:
            report.mistakes.append(str(error) if report.is_strict else f"{error}; metrics and spans are off")
        except Exception as error:  # noqa: BLE001  the worker runs on without us
            report.failures.append(f"could not start, metrics and spans are off: {plain(repr(error))}")
        from otel_celery.controller import when_logging_is_set_up  # noqa: PLC0415  as Session

        when_logging_is_set_up(worker, report.read_out)

    def _install(self, worker: Any, report: _Report) -> None:
        settings = environment.read(os.environ)
        spans = entry.for_worker(worker, settings.traces, report.mistakes.append)
        report.is_off = not settings.enabled
        if settings.enabled or spans is not None:
            from otel_celery.session import Session  # noqa: PLC0415  a process that is no worker need not load it

            report.session = session = Session(worker, settings, spans)
            session.install()
            session.on_end = self._on_session_end
            self.sessions.add(session)
            report.mistakes += session.problems
            report.warnings += session.warnings
        report.warnings += settings.warnings

    def _on_session_end(self) -> None:
        """Be a publisher again, when the last worker of the app is over."""
        if self._publisher is not None and all(session.is_over for session in self.sessions):
            self._publisher.reopen()

    def _on_worker_init(self, sender: Any, **_: object) -> None:
        if sender.app is self._app():
            self.start(sender)


class _Report:
    """What was found while a worker was initialised, read out once its logging is set up."""

    def __init__(self, worker: Any, *, is_strict: bool) -> None:
        """Have found nothing yet."""
        self._name = worker.hostname
        self.is_strict = is_strict
        self.is_off = False
        self.session: Session | None = None
        self.mistakes: list[str] = []
        """Of the environment's, which end a strict worker."""
        self.failures: list[str] = []
        """Of our own, which end none."""
        self.warnings: list[str] = []

    def read_out(self) -> None:
        """Say everything.

        Raises SystemExit where the environment is strict and mistaken.
        """
        for warning in self.warnings:
            say(logging.WARNING, warning)
        for failure in self.failures:
            say(logging.ERROR, failure)
        for mistake in self.mistakes:
            say(logging.ERROR, mistake + environment.ENDS if self.is_strict else mistake)
        if self.mistakes and self.is_strict:
            if self.session is not None:
                self.session.uninstall()  # the worker is not made, and so cannot be stopped
            raise SystemExit(environment.EX_CONFIG)
        if self.is_off:
            logger.info(
                "otel-celery: metrics are off for worker %s; PROMETHEUS_ENABLED=true switches them on", self._name
            )
