"""Parse single values of the environment: texts, booleans, numbers, names, hosts and files.

A value that is not allowed raises SettingsError with one sentence for the operator. An empty value counts as unset, as
OpenTelemetry's specification demands
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING

from otel_celery.masking import LONGEST, MASK, ROOM, RefusedError, quoted
from otel_celery.settings import files

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY = 86_400_000
"""The longest duration, in milliseconds."""

MAX_HOST = 253
"""Characters of a host's name at most, by the DNS."""

MAX_NAMES = 20
"""Exporters in one list at most."""

_LABELS = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_SCOPE = re.compile(r"[A-Za-z0-9_.-]+")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_LINK = re.compile(r"(tcp|udp|sctp)://([0-9.]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")


class SettingsError(RefusedError):
    """A variable has a value that is not allowed; the message is one sentence for the operator."""

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        """Make the sentence of the variable's name, its value and the allowed values."""
        self.variable = variable
        said = f"is not allowed: it must be {allowed}"
        room = max(20, min(ROOM, LONGEST - len(variable) - len(said) - 2))
        super().__init__(f"{variable}={quoted(value, room)} {said}")


class Reader:
    """Reads single values of one environment; its methods raise SettingsError on a value that is not allowed."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read the values of this mapping."""
        self._environ = environ
        self.ignored: list[str] = []
        """Sentences about values that were ignored, since Kubernetes has set them for a Service."""

    def text(self, variable: str) -> str | None:
        """Read a text without the spaces around it; None if it is unset or empty."""
        return self._environ.get(variable, "").strip() or None

    def raw(self, variable: str) -> str | None:
        """Read a text exactly as OpenTelemetry's API will read it; None if it is unset, though it may be empty."""
        return self._environ.get(variable)

    def boolean(self, variable: str, *, default: bool) -> bool:
        """Read ``true`` or ``false``, in any case."""
        value = self.text(variable)
        if value is None:
            return default
        if value.lower() not in {"true", "false"}:
            raise SettingsError(variable, value, "true or false")
        return value.lower() == "true"

    def integer(self, variable: str, *, default: int, low: int, high: int, unit: str = "") -> int:
        """Read a whole number from ``low`` to ``high``; ``unit`` is for the sentence about a bad value."""
        value = self.text(variable)
        if value is None:
            return default
        number = whole(value, high)
        if number is None or not low <= number <= high:
            of_what = f" of {unit}" if unit else ""
            raise SettingsError(variable, value, f"a whole number{of_what} from {low} to {high}")
        return number

    def port(self, variable: str, *, default: int) -> int:
        """Read a TCP port; a value that Kubernetes has set for a Service counts as unset."""
        if self.port_text(variable) is None:
            return default
        return self.integer(variable, default=default, low=1, high=65535)

    def port_text(self, variable: str) -> str | None:
        """Read the text of a port, valid or not; None if it is unset, or about a Service of Kubernetes."""
        value = self.text(variable)
        if value is None or not is_service_link(value):
            return value
        self.ignored.append(of_a_service(variable, value))
        return None

    def names(self, variable: str) -> tuple[str, ...]:
        """Read a comma-separated list."""
        value = self.text(variable)
        return tuple(name.strip() for name in value.split(",") if name.strip()) if value else ()

    def exporters(self, variable: str) -> tuple[str, ...]:
        """Read a list of exporters' names, each once; ``none`` is allowed only alone."""
        found = tuple(dict.fromkeys(self.names(variable)))
        given = ",".join(found)
        if len(found) > MAX_NAMES or not all(_NAME.fullmatch(name) for name in found):
            raise SettingsError(variable, given, f"at most {MAX_NAMES} names, of letters, digits, _, - and .")
        if "none" in found and len(found) > 1:
            raise SettingsError(variable, given, "none alone, or exporters without none")
        return found

    def name(self, variable: str, *, default: str) -> str:
        """Read the name of an entry point."""
        value = self.text(variable) or default
        if not _NAME.fullmatch(value):
            raise SettingsError(variable, value, "a name of at most 100 letters, digits, _, - and .")
        return value

    def choice(self, variable: str, allowed: tuple[str, ...], *, default: str) -> str:
        """Read one of the allowed words, in any case; return it in lower case."""
        value = self.text(variable)
        if value is None:
            return default
        if value.lower() not in allowed:
            raise SettingsError(variable, value, " or ".join([", ".join(allowed[:-1]), allowed[-1]]))
        return value.lower()

    def host(self, variable: str, *, default: str) -> str:
        """Read the name or the address of a host."""
        value = self.text(variable) or default
        if not is_host(value):
            raise SettingsError(variable, value, "an address, or the name, of a host")
        return value

    def file(self, variable: str, *, is_secret: bool = False) -> Path | None:
        """Read the path of a regular file that this process can open.

        If the file is to hold secrets, a value that does not look like a path may be the secret itself, and is masked.
        """
        value = self.text(variable)
        if value is None:
            return None
        path = Path(value)
        try:
            files.check(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            shown = value if not is_secret or value.startswith(("/", ".", "~")) else MASK
            raise SettingsError(variable, shown, f"a file that this process can read ({reason})") from None
        return path

    def milliseconds(self, variable: str, *, default: int) -> int:
        """Read a duration in milliseconds, the unit of OpenTelemetry's specification."""
        return self.integer(variable, default=default, low=1, high=DAY, unit="milliseconds")


def whole(value: str, high: int) -> int | None:
    """Parse a whole number in decimal digits; None if it is not one, or has more digits than ``high``."""
    digits = value.lstrip("0") or "0"
    # int() raises on thousands of digits, so their number is checked first.
    return int(digits) if value.isascii() and value.isdigit() and len(digits) <= len(str(high)) else None


def is_host(text: str) -> bool:
    """Tell whether a text can be a host: an address, or a name that has an IDNA encoding."""
    if len(text) > MAX_HOST:
        return False
    address, percent, scope = text.partition("%")
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return _is_name(text)
    return not percent or (version == 6 and _SCOPE.fullmatch(scope) is not None)  # noqa: PLR2004  IPv6 has scopes


def _is_name(text: str) -> bool:
    if not text.isascii():  # else the codec is not imported, which every child of the pool would pay for
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError:  # a label is empty, has over 63 characters, or has forbidden ones
            return False
    return len(text) <= MAX_HOST and _LABELS.fullmatch(text) is not None


def is_service_link(value: str) -> bool:
    """Tell whether Kubernetes, or a Docker link, has set this value of ``<SERVICE>_PORT``, as tcp://10.43.0.12:9090."""
    return _LINK.fullmatch(value.strip()) is not None


def of_a_service(variable: str, value: str) -> str:
    """Return the sentence about a variable that is ignored, since Kubernetes has set it for a Service."""
    service = variable.removesuffix("_PORT").lower().replace("_", "-")
    return (
        f"{variable}={quoted(value)} is Kubernetes's, about the Service {service}, and was ignored; "
        f"enableServiceLinks: false in the pod keeps it out"
    )
