"""Make the constructor arguments of OpenTelemetry's OTLP exporters, for metrics and for spans, from our settings.

The exporters' own reading of the environment takes a timeout for seconds, fails on an empty variable, and over gRPC
ignores a client certificate without a CA. Only headers and credential providers are left to them. Their packages are
extras, and imported in this module alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_celery.settings.otlp import GRPC

if TYPE_CHECKING:
    from pathlib import Path

    from otel_celery.settings.otlp import Otlp


def options(otlp: Otlp, timeout: float, kind: Any) -> dict[str, Any]:
    """Return the keyword arguments of ``kind``; ``timeout`` is in seconds, for one export with its retries.

    Raises ImportError if the exporter's package is not installed, OSError if a certificate cannot be read.
    """
    shaped = _grpc_options(otlp) if otlp.protocol == GRPC else _http_options(otlp, kind)
    return {"endpoint": otlp.endpoint, "timeout": timeout, **shaped}


def imported_late(otlp: Otlp) -> tuple[str, ...]:
    """Name modules that an exporter imports only when it is made or first used, when a child may be forked."""
    if otlp.protocol == GRPC:
        return ("grpc.experimental", "grpc._channel")
    if otlp.is_direct:
        return ("otel_celery.export.transport", "encodings.idna")
    return ("urllib3", "charset_normalizer", "requests", "netrc", "encodings.idna")


def _http_options(otlp: Otlp, kind: Any) -> dict[str, Any]:
    from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415  an extra

    return {
        "compression": Compression(otlp.compression),
        "certificate_file": _path(otlp.certificate),
        "client_key_file": _path(otlp.client_key),
        "client_certificate_file": _path(otlp.client_certificate),
        # A connection that is kept alive would be inherited, and kept open, by each forked child.
        "headers": {"connection": "close"},
        **_transport(otlp, kind),
    }


def _transport(otlp: Otlp, kind: Any) -> dict[str, Any]:
    try:
        from otel_celery.export import transport  # noqa: PLC0415  it needs private names of the exporters' package
    except ImportError:
        return {}
    return transport.argument(otlp, kind)


def _grpc_options(otlp: Otlp) -> dict[str, Any]:
    import grpc  # noqa: PLC0415  an extra

    files = (otlp.certificate, otlp.client_key, otlp.client_certificate)
    credentials = None
    if not otlp.is_insecure and any(files):
        credentials = grpc.ssl_channel_credentials(*(path.read_bytes() if path else None for path in files))
    return {
        "compression": grpc.Compression.Gzip if otlp.compression == "gzip" else grpc.Compression.NoCompression,
        "insecure": otlp.is_insecure,
        "credentials": credentials,
    }


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
