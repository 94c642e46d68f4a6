"""A worker's start-up hook: who is instrumented, what the environment asks for, and what is said of mistakes.

Everything is installed at ``worker_init``: after the app and the ``-I`` modules are imported, before the pool forks,
and the same moment whichever way we were switched on.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from celery import signals

from otel_celery import settings as environment
from otel_celery import traces
from otel_celery.commandline import is_spawned_child

if TYPE_CHECKING:
    from otel_celery.session import Session

logger = logging.getLogger("otel_celery")

_handles: dict[Any, Instrumentation] = {}


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
    for handle in _handles.values():
        handle.close_door()
    traces.for_spawned_child(sender)


def _enter_spawned() -> None:
    try:
        settings = environment.read(os.environ)
        if settings.enabled and settings.child_metrics:
            from otel_celery import spawned  # noqa: PLC0415  only where metrics are asked for

            spawned.enter(settings)
    except environment.SettingsError:
        pass  # the main process has said it, and its metrics are off
    except Exception as error:  # noqa: BLE001  the child runs on without us
        _say("ERROR", f"what tasks record in this process is not shown: {error!r}")


class Instrumentation:
    """What :func:`instrument` returns: the instrumentation of one app's workers."""

    def __init__(self, app: Any) -> None:
        """Wait for a worker of ``app``."""
        self._app = app
        self._session: Session | None = None
        self._started: Any = None
        signals.worker_init.connect(self._on_worker_init, weak=False)
        if is_spawned_child(sys.orig_argv):
            signals.worker_process_init.connect(on_worker_process_init, weak=False)
        self._door = traces.for_publisher(app)

    def uninstrument(self) -> None:
        """Leave later requests unobserved, remove the reader and close the port; harmless when nothing runs."""
        signals.worker_init.disconnect(self._on_worker_init)
        signals.worker_process_init.disconnect(on_worker_process_init)
        if self._door is not None:
            self._door.uninstrument()
        _handles.pop(self._app, None)
        session, self._session = self._session, None
        if session is not None:
            session.uninstall()

    def start_traces(self) -> None:
        """Make spans in this process from now on, and not only from its first message on.

        For a script that begins with a span of its own. Without OTEL_TRACES_EXPORTER, and in a worker, it does nothing.
        """
        if self._door is not None and self._started is None:
            self._door.open()

    def close_door(self) -> None:
        """Leave the spans of what is published to the worker, or the pool's child, that this process is."""
        if self._door is not None:
            self._door.close()

    def start(self, worker: Any) -> None:
        """Install what the environment asks for, in a worker that is being initialised; a second time is ignored.

        Celery swallows what a ``worker_init`` handler raises without a line, since logging is not set up yet: so
        every mistake is said on stderr here.
        """
        if worker is self._started:
            return
        self._started = worker
        self.close_door()
        try:
            settings = environment.read(os.environ)
            spans = traces.for_worker(worker, settings.traces, lambda why: _fail(why, strict=settings.strict))
            if settings.enabled or spans is not None:
                from otel_celery.session import Session  # noqa: PLC0415  a process that is no worker need not load it

                self._session = Session(worker, settings, spans)
                self._session.install()
        except environment.SettingsError as error:
            _fail(f"{error}; metrics are off", strict=environment.is_strict(os.environ))
        except Exception as error:  # noqa: BLE001  the worker runs on without us
            _fail(f"could not start, metrics are off: {error!r}", strict=False)
        else:
            for warning in settings.warnings:
                _say("WARNING", warning)
            for problem in self._session.problems if self._session is not None else ():
                _fail(problem, strict=settings.strict)
            if not settings.enabled:
                _say_off_when_ready(worker)

    def _on_worker_init(self, sender: Any, **_: object) -> None:
        if sender.app is self._app:
            self.start(sender)


def _say_off_when_ready(worker: Any) -> None:
    """Say that metrics are off once logging is set up, which it is not at ``worker_init``."""

    def say(**_: object) -> None:
        signals.worker_ready.disconnect(say)
        logger.info(
            "otel-celery: metrics are off for worker %s; PROMETHEUS_ENABLED=true switches them on", worker.hostname
        )

    signals.worker_ready.connect(say, weak=False)


def _fail(sentence: str, *, strict: bool) -> None:
    _say("ERROR", sentence)
    if strict:
        raise SystemExit(environment.EX_CONFIG)


def _say(level: str, sentence: str) -> None:
    """Write to stderr: Celery has not set up logging when a worker is initialised."""
    sys.stderr.write(f"otel-celery: {level}: {sentence}\n")
