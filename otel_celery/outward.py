"""The port and the push of one process: opened with the same sentences, and flushed and closed in the same order.

It refers to no worker and no broker, so that a port which outlives its worker keeps nothing else alive.
"""

from __future__ import annotations

import logging
import weakref
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from otel_celery.forks import gate
from otel_celery.lifecycle import Where, guarded
from otel_celery.saying import say
from otel_celery.settings.settings import EX_CONFIG, ends

if TYPE_CHECKING:
    from otel_celery.lifecycle import ErrorObserver
    from otel_celery.record.metering import Metering
    from otel_celery.serve.front import Page
    from otel_celery.serve.health import Health
    from otel_celery.serve.server import Endpoint
    from otel_celery.settings.settings import Port

logger = logging.getLogger("otel_celery")

_open: weakref.WeakSet[Outward] = weakref.WeakSet()
"""All of this process that want a port, to name the other one when two want the same."""


class Outward:
    """The port and the push by which one process's metrics leave it."""

    def __init__(self, who: str, metering: Metering, errors: ErrorObserver, *, strict: bool, host: str) -> None:
        """``who`` is named in sentences, such as ``worker w@h``; ``host`` is what a strict refusal ends: the worker."""
        self.who = who
        self.endpoint: Endpoint | None = None
        self.number: int | None = None
        """The port's number, once the port is open."""
        self._metering = metering
        self._errors = errors
        self._is_strict = strict
        self._host = host

    def serve(self, port: Port, health: Health, *, may_be_late: bool = True) -> None:
        """Open the port, or keep trying until it is free.

        If it ``may_be_late``, what renders is imported at the first scrape, or a moment later by the port's thread.

        Raises SystemExit in a strict environment if the port is taken, or its TLS files cannot be used.
        """
        guarded(self._errors, Where.PORT, self._serve, port, health, may_be_late)

    def push(self, *, is_green: bool = False, may_be_late: bool = False) -> None:
        """Begin to push; ``is_green`` if greenlets run the process, which gRPC would stop.

        If it ``may_be_late``, exporters are imported a moment later by the threads that push, so that the process
        starts the sooner. A strict one waits for them.

        Raises SystemExit in a strict environment if an exporter cannot be used.
        """
        guarded(self._errors, Where.PUSH, self._push, is_green, may_be_late)

    def flush(self, until: float) -> None:
        """Push the last values, until this moment of the monotonic clock."""
        guarded(self._errors, Where.PUSH, self._metering.flush, until)

    def close(self) -> None:
        """Close the port; the metrics are recorded on."""
        _open.discard(self)
        if self.endpoint is not None:
            guarded(self._errors, Where.PORT, self.endpoint.close)

    def refuse(self, sentence: str) -> None:
        """Say what is wrong; raise SystemExit if the environment is strict."""
        say(logging.ERROR, sentence + ends(self._host) if self._is_strict else sentence)
        if self._is_strict:
            raise SystemExit(EX_CONFIG)

    def _serve(self, port: Port, health: Health, may_be_late: bool) -> None:  # noqa: FBT001  passed on by ``guarded``
        if port.number == port.standard and self._metering.serves_port():
            self.refuse(
                "the OpenTelemetry SDK of this process already serves a Prometheus port of its own, which every pool "
                "process inherits; set OTEL_METRICS_EXPORTER=none (and PROMETHEUS_ENABLED=true, "
                f"PROMETHEUS_PORT={port.number}) to have {self.who} served by otel-celery"
            )
            return
        with gate().importing():
            from otel_celery.serve.access import AccessError  # noqa: PLC0415  pool children never need it
            from otel_celery.serve.server import open_endpoint  # noqa: PLC0415  the same

            if not may_be_late:
                import_module("otel_celery.serve.protocol")
                import_module("otel_celery.serve.formats")
                _ = self._metering.registry
        _open.add(self)
        try:
            self.endpoint = open_endpoint(
                port,
                lambda: self._metering.registry,
                health,
                open_page=partial(_open_page, self.who, port.runbook),
                on_open=self._on_open,
                on_taken=partial(self._on_taken, port),
                on_error=self._on_error,
            )
        except AccessError as error:
            self.refuse(
                f"no metrics are served for {self.who}: {error}; OTEL_PYTHON_CELERY_TLS_CERT_FILE, "
                "_TLS_KEY_FILE and _TLS_CLIENT_CA_FILE must name files that belong together"
            )

    def _push(self, is_green: bool, may_be_late: bool) -> None:  # noqa: FBT001  passed on by ``guarded``
        pushers = self._metering.pushers
        if pushers is None:
            return
        if self._metering.pushes_already():
            logger.info(
                "otel-celery: the SDK's MeterProvider of this process pushes the metrics of %s by itself", self.who
            )
            return
        if is_green and pushers.has_grpc():
            pushers.leave_out_grpc()
            self.refuse(self.no_grpc("no metrics are pushed by", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"))
        problems = list[str]()
        pushers.pushed = partial(logger.info, "otel-celery: metrics of %s are pushed to %s", self.who)
        pushers.may_be_late = may_be_late and not self._is_strict  # whom a problem has to end now
        pushers.failed = problems.append if self._is_strict else self.refuse
        self._metering.start_pushing(gate().hold)
        for problem in problems:
            self.refuse(problem)

    def no_grpc(self, what: str, variable: str) -> str:
        """Write the sentence that gRPC cannot be used where greenlets run the tasks."""
        return (
            f"{what} {self.who}: gRPC would stop all its greenlets while it waits; "
            f"set {variable}=http/protobuf (or OTEL_EXPORTER_OTLP_PROTOCOL)"
        )

    def _on_open(self, number: int) -> None:
        self.number = number
        logger.info("📊 Prometheus metrics server started on port %d for %s", number, self.who)

    def _on_taken(self, port: Port, error: OSError) -> None:
        from otel_celery.serve import taken  # noqa: PLC0415  it stands beside the endpoint that calls this

        neighbour = next(
            (other.who for other in list(_open) if other is not self and other.number == port.number), None
        )
        runs_on = f"; the {self._host} runs on, and opening it is tried again until it succeeds"
        text = taken.sentence(error, port, self.who, neighbour)
        self.refuse(text if self._is_strict else text + runs_on)

    def _on_error(self, _: str, error: Exception) -> None:
        self._errors.swallowed(Where.PORT, error)


def _open_page(who: str, runbook: str) -> Page:
    with gate().importing():
        from otel_celery.page.page import StatusPage  # noqa: PLC0415  few ask for it, and no pool child needs it

    return StatusPage(who, runbook)
