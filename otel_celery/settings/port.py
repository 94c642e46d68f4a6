"""Read the settings of the port: its address, TLS, credentials, and where its page's link to a runbook leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_celery.masking import plain
from otel_celery.settings import credentials, files, variables
from otel_celery.settings.otlp import is_place
from otel_celery.settings.reader import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from otel_celery.settings.reader import Reader


class TLS(NamedTuple):
    """The files of the port's TLS; with ``client_ca`` clients need a certificate signed by that CA."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class Port(NamedTuple):
    """The settings of the port: its address, TLS and credentials."""

    host: str = variables.HOST.default
    number: int = variables.OTEL_PORT.default
    tls: TLS | None = None
    credentials: Path | None = None
    runbook: str = variables.RUNBOOK_URL.default
    """The runbook's address, for the link on the port's page; empty if there is none."""
    standard: int = variables.OTEL_PORT.default
    """The value of OTEL_EXPORTER_PROMETHEUS_PORT, which the SDK's own Prometheus entry point binds if it is loaded."""


def port(reader: Reader) -> Port:
    """Read them.

    Raises SettingsError on the first value that is not allowed.
    """
    standard = variables.OTEL_PORT.read(reader)
    return Port(
        host=variables.HOST.read(reader),
        number=variables.PORT.read(reader, standard),
        standard=standard,
        tls=_tls(reader),
        credentials=_credentials(reader),
        runbook=_runbook(reader),
    )


def open_to_others(port: Port | None) -> tuple[str, ...]:
    """Return a warning for each file with secrets that every user of the machine may read."""
    secrets = () if port is None else (port.credentials, port.tls.key if port.tls else None)
    return tuple(
        plain(f"{path} holds secrets, and every user of this machine may read it: chmod o-r (Kubernetes: defaultMode)")
        for path in secrets
        if path is not None and files.is_open_to_others(path)
    )


def _tls(reader: Reader) -> TLS | None:
    cert, key, client_ca = variables.TLS_CERT, variables.TLS_KEY, variables.TLS_CLIENT_CA
    for given, needed in ((cert, key), (key, cert), (client_ca, cert)):
        if given.is_set(reader) and not needed.is_set(reader):
            raise SettingsError(needed.name, "", f"set when {given.name} is")
    certificate, private = cert.read(reader), key.read(reader)
    if certificate is None or private is None:
        return None
    return TLS(certificate, private, client_ca.read(reader))


def _credentials(reader: Reader) -> Path | None:
    """Read the credentials file's path; refuse an unusable file now, since later only the port's log would tell."""
    path = variables.CREDENTIALS.read(reader)
    if path is not None:
        try:
            credentials.read(path)
        except (OSError, credentials.UnusableError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise SettingsError(variables.CREDENTIALS.name, str(path), f"a file of credentials ({why})") from None
    return path


def _runbook(reader: Reader) -> str:
    """Read the runbook's address; a link to anything but a web page could be a program for the browser."""
    address = variables.RUNBOOK_URL.read(reader)
    if address and not is_place(address, {"http", "https"}):
        raise SettingsError(variables.RUNBOOK_URL.name, address, "a URL that begins with http:// or https://")
    return address
