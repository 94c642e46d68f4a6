"""Instrument workers and beat at their start: handlers of Celery's signals, and ``instrument``.

Everything of a worker is installed at ``worker_init``: after the app and the ``-I`` modules are imported, before the
pool forks, and at the same moment for each way to switch it on. Mistakes in the environment are reported a moment
later, once the worker's logging is set up, and only then do they end a strict worker: a detached worker has no stderr
to report on. Beat's logging is set up before its ``beat_init``.
"""

from __future__ import annotations

import logging
import os
import sys
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import Celery, current_app, signals

from otel_celery import publishing
from otel_celery.commandline import is_spawned_child, sets_up_logging
from otel_celery.masking import RefusedError, quoted, represented
from otel_celery.saying import hold, is_holding, release, say
from otel_celery.settings import off
from otel_celery.settings import settings as environment
from otel_celery.trace import entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_celery.beat_session import BeatSession
    from otel_celery.observers import PublishObserver
    from otel_celery.session import Session

_handles: weakref.WeakKeyDictionary[Any, Instrumentation] = weakref.WeakKeyDictionary()
"""The handle of each app. A handle refers to its app weakly, so that both are freed together."""


def instrument(app: Any, *, registry: Any = None) -> Instrumentation:
    """Instrument ``app``: its workers, its beat, and what it publishes in any process, if the environment asks for it.

    With ``registry``, a CollectorRegistry of prometheus_client's, the metrics of what a process publishes are kept
    there, in multiprocess mode too, unless it is a worker or a beat, which has metrics of its own.

    Returns the same handle for the same app. A bad value in the environment never raises here: it is logged when a
    worker starts, and ends that worker only under OTEL_PYTHON_CELERY_STRICT.

    Raises TypeError if ``app`` is no app, but its name, for instance.
    """
    app = _itself(app)
    if not isinstance(app, Celery):
        raise TypeError(f"instrument() takes a Celery app, and not {quoted(app, 60)}: write instrument(app)")
    if app not in _handles:
        _handles[app] = Instrumentation(app)
    if registry is not None:
        _handles[app].publish_to(registry)
    return _handles[app]


def is_instrumented(app: Any) -> bool:
    """Tell whether ``instrument`` was called for ``app``."""
    return _itself(app) in _handles


def _itself(app: Any) -> Any:
    """Give the app that one of Celery's proxies stands for."""
    return app._get_current_object() if hasattr(app, "_get_current_object") else app  # noqa: SLF001


def on_worker_init(sender: Any, **_: object) -> None:
    """Instrument the app of the worker that starts, for the ways to switch on that name no app."""
    instrument(sender.app).start(sender)


def on_beat_init(sender: Any, **_: object) -> None:
    """Instrument the app of the beat that starts, for the same ways; ``sender`` is its Service."""
    instrument(sender.app).start_beat(sender)


def on_worker_process_init(sender: str, **_: object) -> None:
    """Set up a spawned pool child to send its spans and its tasks' metrics; a forked child inherits them."""
    for app in _apps():
        instrument(app)
    _enter_spawned(sender)
    for handle in list(_handles.values()):
        handle.close_publisher()
    entry.for_spawned_child(sender)


def _apps() -> list[Any]:
    """List the apps of this process: a spawned child has the worker's, and another that the tasks' module has made.

    Without Celery's private list, what the module's own app publishes is neither stamped nor counted.
    """
    known: Iterable[Any] = getattr(sys.modules.get("celery._state"), "_get_active_apps", list)()
    return list(dict.fromkeys([_itself(current_app), *known]))


def _enter_spawned(worker: str) -> None:
    observer: PublishObserver | None = None
    try:
        settings = environment.read(os.environ)
        if not settings.enabled:
            return
        observer = publishing.NOBODY
        if settings.child_metrics:
            from otel_celery import spawned  # noqa: PLC0415  only where metrics are asked for

            observer = spawned.enter(settings, worker) or observer
    except environment.SettingsError:
        pass  # the main process has logged it, and its metrics are off
    except Exception as error:  # noqa: BLE001  the child runs on without us
        say(logging.ERROR, f"what tasks record in this process is not shown: {represented(error)}")
    finally:
        for handle in list(_handles.values()):
            if observer is not None:
                handle.publish_for(observer)


class Instrumentation:
    """The instrumentation of one app's workers and beat; :func:`instrument` returns it."""

    def __init__(self, app: Any) -> None:
        """Connect to the signals of ``app``'s workers, and make spans of the messages that this process publishes."""
        if sets_up_logging(sys.argv, sys.orig_argv):
            hold()
        self._app = weakref.ref(app)
        self._started: weakref.WeakSet[Any] = weakref.WeakSet()
        self.sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        """The sessions of this app's workers; each lives as long as its worker."""
        self._beats: list[BeatSession] = []
        signals.worker_init.connect(self._on_worker_init)
        signals.beat_init.connect(self._on_beat_init)
        if is_spawned_child(sys.orig_argv):
            signals.worker_process_init.connect(on_worker_process_init, weak=False)
        self._publisher = entry.for_publisher(app)
        self._publishing = publishing.for_app(app, os.environ)

    def uninstrument(self) -> None:
        """Stop observing and making spans, remove the metric readers and close the ports; safe when nothing runs."""
        signals.worker_init.disconnect(self._on_worker_init)
        signals.beat_init.disconnect(self._on_beat_init)
        signals.worker_process_init.disconnect(on_worker_process_init)
        if self._publisher is not None:
            self._publisher.uninstrument()
        if self._publishing is not None:
            self._publishing.uninstrument()
        app = self._app()
        self._publisher = None
        if app is not None:
            _handles.pop(app, None)
        for session in list(self.sessions):
            session.uninstall()
        for beat in self._beats:
            beat.uninstall()

    def publish_to(self, registry: Any) -> None:
        """Keep the metrics of what this process publishes in a registry of prometheus_client's."""
        if self._publishing is not None:
            self._publishing.publish_to(registry)

    def publish_for(self, observer: PublishObserver) -> None:
        """Report what this process publishes to a worker's observer."""
        if self._publishing is not None:
            self._publishing.hand_to(observer)

    def start_traces(self) -> None:
        """Set up tracing in this process now, instead of at its first message.

        This is for a script that begins with a span of its own. Without OTEL_TRACES_EXPORTER, or in a worker, it does
        nothing.
        """
        if self._publisher is not None and not self._started:
            self._publisher.open()

    def close_publisher(self) -> None:
        """Stop making publishers' spans: this process is a worker or a pool child, and makes its spans as such."""
        if self._publisher is not None:
            self._publisher.close()

    def start(self, worker: Any) -> None:
        """Install metrics and spans in a worker at its ``worker_init``; ignore a second call for the same worker."""
        if worker in self._started:
            return
        self._started.add(worker)
        self.close_publisher()
        report = _Report(is_strict=environment.is_strict(os.environ))
        try:
            self._install(worker, report)
        except RefusedError as error:
            report.mistakes.append(str(error) if report.is_strict else f"{error}; metrics and spans are off")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  a plug-in may raise any; the worker runs on without us
            report.failures.append(f"could not start, metrics and spans are off: {represented(error)}")
        from otel_celery.controller import when_logging_is_set_up  # noqa: PLC0415  as Session

        when_logging_is_set_up(worker, report.read_out)

    def start_beat(self, service: Any) -> None:
        """Install metrics in a beat at its ``beat_init``; ignore a second call for the same service.

        Raises SystemExit in a strict environment with a mistake, or a port that is taken.
        """
        if service in self._started:
            return
        self._started.add(service)
        release()
        from otel_celery import beat_session  # noqa: PLC0415  a process that is no beat need not load it

        in_worker = is_spawned_child(sys.orig_argv) or any(not session.is_over for session in self.sessions)
        session = beat_session.begin(service, is_embedded=in_worker)
        if session is not None:
            self._beats.append(session)
            self.publish_for(session.publishes)

    def _install(self, worker: Any, report: _Report) -> None:
        settings = environment.read(os.environ)
        spans = entry.for_worker(worker, settings.traces, report.mistakes.append)
        if not settings.enabled:
            report.off = partial(off.say, dict(os.environ), settings, f"worker {worker.hostname}")
        if settings.enabled or spans is not None:
            from otel_celery.session import Session  # noqa: PLC0415  a process that is no worker need not load it

            report.session = session = Session(worker, settings, spans)
            session.install()
            session.on_end = self._on_session_end
            self.sessions.add(session)
            if session.publishes is not None:
                self.publish_for(session.publishes)
            report.warnings += session.warnings
        elif settings.gc_freeze:
            report.warnings.append("OTEL_PYTHON_CELERY_GC_FREEZE has no effect while metrics and spans are off")
        report.warnings += settings.warnings

    def _on_session_end(self) -> None:
        """Make publishers' spans again, when the last worker of the app is over."""
        if all(session.is_over for session in self.sessions):
            if self._publisher is not None:
                self._publisher.reopen()
            if self._publishing is not None:
                self._publishing.take_back()

    def _on_worker_init(self, sender: Any, **_: object) -> None:
        if sender.app is self._app():
            self.start(sender)
        elif is_holding():  # another app's worker: nothing else would say what is kept
            from otel_celery.controller import when_logging_is_set_up  # noqa: PLC0415  as Session

            when_logging_is_set_up(sender, release)

    def _on_beat_init(self, sender: Any, **_: object) -> None:
        if sender.app is self._app():
            self.start_beat(sender)
        else:
            release()


class _Report:
    """Sentences found while a worker was initialised, said once its logging is set up."""

    def __init__(self, *, is_strict: bool) -> None:
        """Begin without sentences."""
        self.is_strict = is_strict
        self.off: Callable[[], None] = lambda: None
        """Says that metrics are off, if they are."""
        self.session: Session | None = None
        self.mistakes: list[str] = []
        """Mistakes in the environment, which end a strict worker."""
        self.failures: list[str] = []
        """Failures of ours, which never end a worker."""
        self.warnings: list[str] = []

    def read_out(self) -> None:
        """Say every sentence.

        Raises SystemExit if the environment is strict and has a mistake.
        """
        release()
        for warning in self.warnings:
            say(logging.WARNING, warning)
        for failure in self.failures:
            say(logging.ERROR, failure)
        for mistake in self.mistakes:
            say(logging.ERROR, mistake + environment.ENDS if self.is_strict else mistake)
        if self.mistakes and self.is_strict:
            if self.session is not None:
                self.session.uninstall()  # the worker is not complete, so that nothing else would stop it
            raise SystemExit(environment.EX_CONFIG)
        self.off()
