"""How a variable of the environment is read: as text, a truth value, a number, names, or a file.

A value that is not allowed is one sentence for the operator; an empty one counts as unset, as OpenTelemetry's
specification demands.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY = 86_400_000
"""Milliseconds; no duration may be longer."""


class SettingsError(ValueError):
    """A variable has a value that is not allowed; the message is one sentence for the operator."""

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        """Name the variable, the value it has, and what is allowed."""
        self.variable = variable
        super().__init__(f"{variable}={value!r} is not allowed: it must be {allowed}")


class Reader:
    """Reads single values of one environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read this mapping."""
        self._environ = environ

    def text(self, variable: str) -> str | None:
        """Read a text; None where it is unset."""
        return self._environ.get(variable, "").strip() or None

    def boolean(self, variable: str, *, default: bool) -> bool:
        """Read ``true`` or ``false``, in any case."""
        value = self.text(variable)
        if value is None:
            return default
        if value.lower() not in {"true", "false"}:
            raise SettingsError(variable, value, "true or false")
        return value.lower() == "true"

    def integer(self, variable: str, *, default: int, low: int, high: int, unit: str = "") -> int:
        """Read a whole number between two bounds, both allowed; ``unit`` is for the sentence about a bad one."""
        value = self.text(variable)
        if value is None:
            return default
        digits = value.lstrip("0") if value.isascii() and value.isdigit() else ""
        if len(digits) > len(str(high)) or not low <= int(digits or -1) <= high:  # int() itself refuses very long ones
            of_what = f" of {unit}" if unit else ""
            raise SettingsError(variable, value, f"a whole number{of_what} from {low} to {high}")
        return int(value)

    def names(self, variable: str) -> tuple[str, ...]:
        """Read a comma-separated list."""
        value = self.text(variable)
        return tuple(name.strip() for name in value.split(",") if name.strip()) if value else ()

    def choice(self, variable: str, allowed: tuple[str, ...], *, default: str) -> str:
        """Read one of some words, in any case; the word is returned as it stands in ``allowed``."""
        value = self.text(variable)
        if value is None:
            return default
        if value.lower() not in allowed:
            raise SettingsError(variable, value, " or ".join([", ".join(allowed[:-1]), allowed[-1]]))
        return value.lower()

    def file(self, variable: str) -> Path | None:
        """Read the path of a file that this process can open."""
        value = self.text(variable)
        if value is None:
            return None
        path = Path(value)
        try:
            with path.open("rb"):
                return path
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SettingsError(variable, value, f"a file that this process can read ({reason})") from None

    def milliseconds(self, variable: str, *, default: int) -> float:
        """Read a duration, which the specification counts in milliseconds; it is returned in seconds."""
        return self.integer(variable, default=default, low=1, high=DAY, unit="milliseconds") / 1000
