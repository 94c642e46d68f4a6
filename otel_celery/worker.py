"""The one place that knows all rooms: a worker's start-up hook, and what is joined there.

Everything is installed at ``worker_init``: after the app and the ``-I`` modules are imported, before the pool forks,
and the same moment whichever way we were switched on. The port is opened by a bootstep, once the pool has forked;
it is closed by ``worker_shutdown``, which comes after the pool has drained, or at process exit.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import bootsteps, signals

from otel_celery import settings as environment
from otel_celery.lifecycle import Where, guarded
from otel_celery.observe.watch import Watch
from otel_celery.record.providers import Recording, application_provider
from otel_celery.serve.access import AccessError
from otel_celery.serve.health import WorkerHealth
from otel_celery.serve.server import open_endpoint

if TYPE_CHECKING:
    from otel_celery.serve.server import Endpoint
    from otel_celery.settings import Port, Settings

logger = logging.getLogger("otel_celery")

EX_CONFIG = 78
"""sysexits.h: how a strict worker ends on bad configuration or a taken port."""

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


class Instrumentation:
    """What :func:`instrument` returns: the instrumentation of one app's workers."""

    def __init__(self, app: Any) -> None:
        """Wait for a worker of ``app``."""
        self._app = app
        self._session: Session | None = None
        self._started: Any = None
        signals.worker_init.connect(self._on_worker_init, weak=False)

    def uninstrument(self) -> None:
        """Leave later requests unobserved, remove the reader and close the port; harmless when nothing runs."""
        signals.worker_init.disconnect(self._on_worker_init)
        _handles.pop(self._app, None)
        session, self._session = self._session, None
        if session is not None:
            session.uninstall()

    def start(self, worker: Any) -> None:
        """Install what the environment asks for, in a worker that is being initialised; a second time is ignored.

        Celery swallows what a ``worker_init`` handler raises without a line, since logging is not set up yet: so
        every mistake is said on stderr here.
        """
        if worker is self._started:
            return
        self._started = worker
        try:
            settings = environment.read(os.environ)
            wanted = _is_wanted(settings)
            if wanted:
                self._session = Session(worker, settings)
                self._session.install()
        except environment.SettingsError as error:
            _fail(f"{error}; metrics are off", strict=environment.is_strict(os.environ))
        except Exception as error:  # noqa: BLE001  the worker runs on without us
            _fail(f"could not start, metrics are off: {error!r}", strict=False)
        else:
            for warning in settings.warnings:
                _say("WARNING", warning)
            if not wanted:
                _say_off_when_ready(worker)

    def _on_worker_init(self, sender: Any, **_: object) -> None:
        if sender.app is self._app:
            self.start(sender)


class Session:
    """One worker, observed, recorded and served."""

    def __init__(self, worker: Any, settings: Settings) -> None:
        """Join the rooms; nothing of the worker is touched before :meth:`install`."""
        self._worker = worker
        self._settings = settings
        self._recording = Recording(settings, worker.hostname, str(worker.app.main or "celery"))
        self._watch = Watch(worker, self._recording.tallies)
        self._recording.register(self._watch.levels)
        self._endpoint: Endpoint | None = None
        self._owner = os.getpid()
        self._is_closed = False
        self._step = type("OtelCelery", (_PortStep,), {"session": self, "name": "otel_celery"})

    def install(self) -> None:
        """Put everything in place in the worker."""
        self._watch.install()
        self._worker.app.steps["worker"].add(self._step)
        signals.worker_shutdown.connect(self._on_worker_shutdown, weak=False)
        atexit.register(self.close)

    def uninstall(self) -> None:
        """Unhook, as far as a running worker can be left alone."""
        self._watch.uninstall()
        self._worker.app.steps["worker"].discard(self._step)
        self.close()

    def pool_started(self) -> None:
        """Serve the metrics, from now or from when the port is free.

        Raises SystemExit where the environment is strict and the port is taken, or its TLS cannot be used.
        """
        guarded(self._recording.tallies, Where.CHILDREN, self._watch.children.look)
        if self._settings.port is not None and not self._is_closed:
            guarded(self._recording.tallies, Where.PORT, self._open, self._settings.port)

    def _open(self, port: Port) -> None:
        if port.number == port.standard and self._recording.serves_port():
            self._refuse(
                "the OpenTelemetry SDK of this process already serves a Prometheus port of its own, which every pool "
                "process inherits; set OTEL_METRICS_EXPORTER=none (and PROMETHEUS_ENABLED=true, "
                f"PROMETHEUS_PORT={port.number}) to have worker {self._worker.hostname} served by otel-celery"
            )
            return
        try:
            self._endpoint = open_endpoint(
                port,
                self._recording.registry,
                WorkerHealth(self._watch.levels),
                on_open=self._on_open,
                on_taken=partial(self._on_taken, port),
                on_error=lambda _, error: self._recording.tallies.swallowed(Where.PORT, error),
            )
        except AccessError as error:
            self._refuse(
                f"no metrics are served for worker {self._worker.hostname}: {error}; OTEL_PYTHON_CELERY_TLS_CERT_FILE, "
                "_TLS_KEY_FILE and _TLS_CLIENT_CA_FILE must name files that belong together"
            )

    def close(self) -> None:
        """Close the port and stop exporting; only in the process that began it, and once."""
        if self._is_closed or os.getpid() != self._owner:
            return
        self._is_closed = True
        atexit.unregister(self.close)
        signals.worker_shutdown.disconnect(self._on_worker_shutdown)
        guarded(self._recording.tallies, Where.PORT, self._close)

    def _close(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()
        self._recording.close()

    def _on_open(self, number: int) -> None:
        logger.info("📊 Prometheus metrics server started on port %d for worker %s", number, self._worker.hostname)

    def _on_taken(self, port: Port, error: OSError) -> None:
        advice = "set PROMETHEUS_PORT to a free port"
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            advice = f"OTEL_EXPORTER_PROMETHEUS_HOST={port.host!r} must be an address of this machine"
        text = (
            f"port {port.number} cannot be opened for worker {self._worker.hostname} (pid {os.getpid()}): "
            f"{error.strerror or error}; {advice}"
        )
        runs_on = "; the worker runs on, and opening it is tried again until it succeeds"
        self._refuse(text if self._settings.strict else text + runs_on)

    def _refuse(self, sentence: str) -> None:
        """Say what is wrong, and end the worker where the environment is strict."""
        logger.error("otel-celery: %s", sentence)
        if self._settings.strict:
            raise SystemExit(EX_CONFIG)

    def _on_worker_shutdown(self, sender: Any = None, **_: object) -> None:
        if sender is self._worker:
            guarded(self._recording.tallies, Where.CONSUMER, self._watch.drained)
            self.close()


class _PortStep(bootsteps.StartStopStep):
    """Tells when the pool has forked.

    It does nothing on stop, close or terminate: they run before the pool has drained.
    """

    requires = ("celery.worker.components:Pool",)
    session: Session

    def start(self, parent: Any) -> None:
        """Have the port opened; only in a strict environment may that end the worker."""
        del parent
        self.session.pool_started()


def _is_wanted(settings: Settings) -> bool:
    """Tell whether anybody will read what is recorded; exporters besides our port are the SDK's own to set up."""
    if not settings.exporters or application_provider() is not None:
        return settings.enabled
    _say(
        "WARNING",
        f"OTEL_METRICS_EXPORTER names {', '.join(settings.exporters)}, which this version pushes to only through an "
        "SDK MeterProvider that the application or opentelemetry-instrument has set; there is none",
    )
    return settings.port is not None


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
        raise SystemExit(EX_CONFIG)


def _say(level: str, sentence: str) -> None:
    """Write to stderr: Celery has not set up logging when a worker is initialised."""
    sys.stderr.write(f"otel-celery: {level}: {sentence}\n")
