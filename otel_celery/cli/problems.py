"""Find what is wrong with an environment beyond its values, by trying as a worker does: ports, files, exporters."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from otel_celery.export import plugins
from otel_celery.masking import reason
from otel_celery.serve.access import AccessError, tls_context
from otel_celery.serve.listeners import addresses, listen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.settings import settings
    from otel_celery.settings.otlp import Exporter, Otlp


def problems(found: settings.Settings) -> Iterator[str]:
    """Yield a sentence for each port that cannot be opened now, and each exporter that cannot be used."""
    for port in {found.port, found.of_beat(is_embedded=True).port}:
        yield from _port_problems(port)
    yield from _exporter_problems(found)


def _port_problems(port: settings.Port | None) -> Iterator[str]:
    """Load the TLS files and open the port as a worker does; a worker that runs now has its port taken."""
    if port is None:
        return
    try:
        if port.tls is not None:
            tls_context(port.tls)
        for listener in listen(addresses(port.host), port.number):
            listener.close()
    except AccessError as error:
        yield str(error)
    except OSError as error:
        yield f"the port {port.number} on {port.host} cannot be opened now: {error.strerror}"


def _otlp_problems(exporter: Exporter, otlp: Otlp) -> Iterator[str]:
    """Load the certificates; with bad ones each export would fail."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if otlp.certificate is not None:
            context.load_verify_locations(cafile=otlp.certificate)
        if otlp.client_certificate is not None:
            context.load_cert_chain(otlp.client_certificate, otlp.client_key, password="")
    except (OSError, ValueError) as error:
        yield f"the certificates for {exporter.place} cannot be used: {reason(error)}"


def _exporter_problems(found: settings.Settings) -> Iterator[str]:
    """Find exporters that no installed package has, or that have no usable certificates."""
    for asked_for in (found.push, found.traces):
        for exporter in asked_for.exporters if asked_for is not None else ():
            if plugins.find(exporter.group, exporter.entry_point) is None:
                yield exporter.missing
            if exporter.otlp is not None:
                yield from _otlp_problems(exporter, exporter.otlp)
