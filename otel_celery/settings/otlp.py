"""Read the OTLP variables of a signal, and describe the exporters that it is pushed to.

A signal's own variable wins over the general one: ``OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`` over
``OTEL_EXPORTER_OTLP_ENDPOINT`` (https://opentelemetry.io/docs/specs/otel/protocol/exporter/). Headers may hold secrets:
they are only checked here, and the exporters read them themselves.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from otel_celery.masking import MASK, keep, keep_user, masked_url, plain
from otel_celery.settings import variables
from otel_celery.settings.reader import SettingsError, is_host, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_celery.settings.variables import Variable
from otel_celery.settings.reader import Reader

T = TypeVar("T")

HTTP, GRPC = "http/protobuf", "grpc"

OTLP = {"otlp": None, "otlp_proto_http": HTTP, "otlp_proto_grpc": GRPC}
"""The exporter names that mean OTLP, each with the protocol that it implies, or None."""

COMPRESSIONS = {HTTP: ("none", "gzip", "deflate"), GRPC: ("none", "gzip")}
"""The compressions that OpenTelemetry's exporter of each protocol supports."""

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
"""Variables of proxies; each is also used in upper case, and the lower case wins."""

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables of requests that name certificate authorities."""

PROVIDERS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_{}_CREDENTIAL_PROVIDER",
)
"""Variables that name what makes the exporters' session of requests, for all signals and for one."""

NETRC = ("~/.netrc", "~/_netrc")
"""Files in which requests looks for a host's password, unless the variable NETRC names another."""

SHORT_TIMEOUT = 100
"""Milliseconds; a shorter timeout was probably meant in seconds, as Python's exporters read it."""

MAX_ENDPOINT = 2000
"""Characters of an endpoint at most."""

_HEADER = re.compile(r"([\x21\x23-\x27*+\-.0-9A-Z^-z|~]+)[ \t]*=[ \t]*([\x20\x21\x23-\x2b\x2d-:<-\x5b\x5d-\x7e]*)")
"""A header as OpenTelemetry parses it; OpenTelemetry skips any other, and logs it with its value."""

_CREDENTIAL = {HTTP: re.compile(r"[\t\x20-\x7e\x80-\xff]*"), GRPC: re.compile(r"[\x20-\x7e]*")}
_KEY = {HTTP: re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+"), GRPC: re.compile(r"(?!.*-bin$)[0-9a-z_.-]+")}
"""The names and values of headers that each protocol allows; its error about another header would quote all of them."""


class Otlp(NamedTuple):
    """The OTLP settings of one signal."""

    protocol: str
    endpoint: str
    """The whole URL, which may hold secrets; a gRPC endpoint may have no scheme."""
    timeout: float
    """Seconds for one export with its retries."""
    compression: str
    is_insecure: bool
    """Whether gRPC uses no TLS."""
    certificate: Path | None = None
    client_key: Path | None = None
    client_certificate: Path | None = None
    is_direct: bool = True
    """Whether nothing asks for what requests alone knows, for HTTP: a proxy, a netrc file, a session."""
    bundle: Path | None = None
    """A file or a directory of certificate authorities that requests would trust; ``certificate`` wins."""

    def __repr__(self) -> str:
        """Leave out the endpoint."""
        return f"{type(self).__name__}(protocol={self.protocol!r}, timeout={self.timeout}, is_direct={self.is_direct})"

    @property
    def place(self) -> str:
        """The endpoint for the log, without the secrets that its URL may hold."""
        return plain(masked_url(self.endpoint))


class Exporter(NamedTuple):
    """One exporter that a signal is pushed to."""

    name: str
    """The name in the signal's variable."""
    otlp: Otlp | None = None
    signal: str = "metrics"

    @property
    def group(self) -> str:
        """The group of the exporter's entry point."""
        return f"opentelemetry_{self.signal}_exporter"

    @property
    def entry_point(self) -> str:
        """The name of the exporter's entry point."""
        if self.otlp is None:
            return self.name
        return "otlp_proto_grpc" if self.is_grpc else "otlp_proto_http"

    @property
    def is_grpc(self) -> bool:
        """Whether the exporter uses gRPC, which may break in a process that forks."""
        return self.otlp is not None and self.otlp.protocol == GRPC

    @property
    def place(self) -> str:
        """The exporter's destination for the log, or its name if the destination is unknown."""
        return self.name if self.otlp is None else f"{self.otlp.place} ({self.otlp.protocol})"

    @property
    def variable(self) -> str:
        """Name the variable that names it."""
        return f"OTEL_{self.signal.upper()}_EXPORTER"

    @property
    def missing(self) -> str:
        """A sentence for the operator about an exporter that is not installed."""
        names = f"{self.variable} names {self.name!r}"
        if self.otlp is None:
            return f"{names}, which no installed package registers under the entry point group {self.group}"
        extra = "otlp-grpc" if self.is_grpc else "otlp"
        return f"{names}, whose package for {self.otlp.protocol} is not installed: pip install 'otel-celery[{extra}]'"


def otlp(reader: Reader, signal: str, protocol: str | None = None) -> Otlp:
    """Read the OTLP settings of a signal (METRICS, TRACES), with this protocol or the one in the variables.

    Raises SettingsError on the first value that is not allowed.
    """

    def own(variable: Variable[T]) -> Variable[T]:
        """Return the signal's own variable if it is set, else the general one."""
        single = variable.of_signal(signal)
        return single if single.is_set(reader) else variable

    for proxy in PROXIES:  # the exporters' libraries use them, and quote bad ones
        keep_user(reader.text(proxy) or reader.text(proxy.upper()) or "")
    protocol = protocol or own(variables.PROTOCOL).read(reader)
    _look_at_headers(reader, own(variables.HEADERS).name, protocol)
    endpoint = _endpoint(reader, own(variables.ENDPOINT).name, protocol)
    if protocol == HTTP and not variables.ENDPOINT.of_signal(signal).is_set(reader):
        url = urlsplit(endpoint)
        endpoint = urlunsplit(url._replace(path=f"{url.path.rstrip('/')}/v1/{signal.lower()}"))
    scheme = endpoint.partition("://")[0] if "://" in endpoint else None
    return Otlp(
        protocol,
        endpoint,
        timeout=own(variables.OTLP_TIMEOUT).read(reader) / 1000,
        compression=reader.choice(own(variables.COMPRESSION).name, COMPRESSIONS[protocol], default="none"),
        is_insecure=scheme == "http" if scheme else own(variables.INSECURE).read(reader),
        certificate=own(variables.CERTIFICATE).read(reader),
        client_key=own(variables.CLIENT_KEY).read(reader),
        client_certificate=own(variables.CLIENT_CERTIFICATE).read(reader),
        is_direct=protocol == GRPC or _is_direct(reader, endpoint, signal),
        bundle=next((Path(path) for path in map(reader.text, BUNDLES) if path), None),
    )


def short_timeouts(reader: Reader, signals: Iterable[str]) -> tuple[str, ...]:
    """Return a sentence for each timeout, of these signals or the general one, that was probably meant in seconds."""
    timeout = variables.OTLP_TIMEOUT
    names = (*(timeout.of_signal(signal).name for signal in signals), timeout.name)
    found = {name: whole(reader.text(name) or "", SHORT_TIMEOUT - 1) for name in names}
    return tuple(
        f"{name}={number} is read as milliseconds, as OpenTelemetry's specification says; for seconds write {number}000"
        for name, number in found.items()
        if number
    )


def _is_direct(reader: Reader, endpoint: str, signal: str) -> bool:
    """Tell whether an HTTP endpoint is reached without what requests alone knows, which exporters use by default."""
    asked = (*PROXIES, *(name.upper() for name in PROXIES), *(name.format(signal) for name in PROVIDERS), "NETRC")
    host = urlsplit(endpoint).hostname or ""
    is_usual = endpoint.isascii() and "%" not in host and not host.endswith(".")
    has_proxies = sys.platform in {"darwin", "win32"}  # which Python asks the system for
    files = map(os.path.exists, map(os.path.expanduser, NETRC))
    return is_usual and not has_proxies and not any(map(reader.text, asked)) and not any(files)


def _endpoint(reader: Reader, variable: str, protocol: str) -> str:
    value = reader.text(variable)
    if value is None:
        return "http://localhost:4317" if protocol == GRPC else "http://localhost:4318"
    if not is_place(value, {"http", "https", ""} if protocol == GRPC else {"http", "https"}):
        raise SettingsError(variable, value, "a URL that begins with http:// or https://")
    keep_secrets(value)
    return value


def is_place(value: str, schemes: set[str]) -> bool:
    """Tell whether a text is a URL with one of these schemes and a valid host."""
    if len(value) > MAX_ENDPOINT or not value.isprintable() or " " in value:
        return False
    try:
        url = urlsplit(value if "://" in value else f"//{value}")
        has_port = url.port is None or url.port > 0
    except ValueError:
        return False
    return has_port and url.scheme in schemes and is_host(url.hostname or "")


def keep_secrets(endpoint: str) -> None:
    """Have the user, the password and the query of a URL masked wherever they turn up."""
    url = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    keep_user(endpoint)
    for secret in (url.password, url.query, *(v for _, v in parse_qsl(url.query))):
        if secret:
            keep(secret)
            keep(unquote(secret))


def _look_at_headers(reader: Reader, variable: str, protocol: str) -> None:
    """Refuse headers that the exporter would skip or fail on; their values are secrets, and never shown."""
    for item in reader.names(variable):
        found = _HEADER.fullmatch(item)
        name, value = (unquote(part).strip() for part in found.groups()) if found else ("", "")
        for secret in (item.partition("=")[2].strip(), value, value.rpartition(" ")[2]):
            keep(secret)
        if not (_KEY[protocol].fullmatch(name.lower()) and _CREDENTIAL[protocol].fullmatch(value)):
            raise SettingsError(variable, MASK, "name=value pairs, comma-separated, with values percent-encoded")
