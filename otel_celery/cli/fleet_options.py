"""Options shared by the commands that look at a fleet: where its endpoints are, and how they are asked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  a dataclass's field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from otel_celery.cli import port_options as asking
from otel_celery.cli.failure import misconfigured
from otel_celery.cli.pools import FILE, chosen, exporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_celery.settings.settings import Port
    from otel_celery.watch.asking import Asker
    from otel_celery.watch.endpoints import Endpoint
    from otel_celery.watch.fleet import Fleet
    from otel_celery.watch.sources import Prometheus, Source

F = TypeVar("F", bound="Callable[..., Any]")
JOB = "celery*"


def options(command: F) -> F:
    """Add ENDPOINTS, --file, --prometheus, --job, --targets and a port's options to a command."""
    for add in (
        click.option(
            "--targets",
            multiple=True,
            type=asking.FILE,
            help="A file of targets, as Prometheus's file_sd_configs reads it.",
        ),
        click.option("--job", multiple=True, help=f"With --prometheus: a pattern of jobs.  [default: {JOB}]"),
        click.option("--prometheus", multiple=True, help="A Prometheus's URL: its targets are the endpoints."),
        FILE,
        click.argument("endpoints", nargs=-1),
        asking.options,
    ):
        command = add(command)
    return command


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say."""

    endpoints: tuple[str, ...]
    file: Path | None
    prometheus: tuple[str, ...]
    job: tuple[str, ...]
    targets: tuple[Path, ...]
    timeout: float
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None

    def fleet(self) -> Fleet:
        """Make the fleet; what is not allowed ends the command with status 78."""
        from otel_celery.watch.endpoints import EndpointError  # noqa: PLC0415  few commands need these
        from otel_celery.watch.fleet import Fleet  # noqa: PLC0415  the same

        with misconfigured(EndpointError):
            asker, port = self._asker()
            return Fleet(list(self._sources(asker, port)), asker)

    def servers(self) -> list[Prometheus]:
        """Make what asks the Prometheus servers; what is not allowed ends the command with status 78."""
        from otel_celery.watch.endpoints import EndpointError  # noqa: PLC0415  as above
        from otel_celery.watch.sources import Prometheus  # noqa: PLC0415  the same

        with misconfigured(EndpointError):
            asker, _ = self._asker()
            return [Prometheus(url, asker, self.job or (JOB,)) for url in self.prometheus]

    def _asker(self) -> tuple[Asker, Port]:
        from otel_celery.pools import ports  # noqa: PLC0415  as above
        from otel_celery.watch.asking import Asker  # noqa: PLC0415  the same

        identity = asking.identity(self.ca_file, self.cert_file, self.key_file)
        port = ports.served(os.environ)
        return Asker(port, identity, self.timeout), port

    def _sources(self, asker: Any, port: Port) -> Iterator[Source]:
        from otel_celery.watch.endpoints import of_url  # noqa: PLC0415  as above
        from otel_celery.watch.sources import File, Given, Prometheus  # noqa: PLC0415  the same

        if self.endpoints:
            yield Given([of_url(text) for text in self.endpoints])
        yield from (File(file) for file in self.targets)
        for url in self.prometheus:
            yield Prometheus(url, asker, self.job or (JOB,))
        if self.file is not None or not (self.endpoints or self.targets or self.prometheus):
            yield Given(self._of_pools(port))

    def _of_pools(self, port: Port) -> Iterator[Endpoint]:
        """Give the endpoints of the pools file, with that of the queues' exporter if it has one."""
        from otel_celery.watch.endpoints import of_exporter, of_pool  # noqa: PLC0415  as above

        is_tls = port.tls is not None or self.ca_file is not None
        yield from (of_pool(pool, port, is_tls=is_tls) for pool in chosen(self.file, ()))
        number = exporter(self.file)
        if number is not None:
            yield of_exporter(number, port, is_tls=is_tls)
