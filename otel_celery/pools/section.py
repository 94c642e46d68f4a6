"""Read the values of one table of the pools file; a bad value raises PlanError with a sentence that names it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from otel_celery.masking import ROOM, RefusedError, plain, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeGuard


class PlanError(RefusedError):
    """The pools cannot be started as configured; the message is one sentence for the operator."""


def nearest(word: str, words: Iterable[str]) -> str:
    """Return "; did you mean ...?" with the word most like this one, or an empty text if none is."""
    near = difflib.get_close_matches(word[:ROOM], tuple(words), n=1)
    return f"; did you mean {near[0]}?" if near else ""


class Section:
    """The values of a table; a missing one is taken from the table of defaults.

    Its readers raise PlanError on a value that is not allowed.
    """

    def __init__(
        self, path: str, values: object, keys: Iterable[str] | None = None, defaults: Section | None = None
    ) -> None:
        """Raise PlanError if ``values`` is not a table, or has a key that is not among ``keys``."""
        if not isinstance(values, dict):
            raise PlanError(f"{path} = {quoted(values)} is not allowed: it must be a table")
        self.values: Mapping[str, object] = values
        self._path = path
        self._defaults = defaults
        allowed = values if keys is None else tuple(keys)
        for key in values:
            if key not in allowed:
                raise PlanError(f"{self._at(key)} is not a key of the pools file{nearest(key, allowed)}")

    def refusal(self, key: str, value: object, allowed: str) -> PlanError:
        """Make the error for a key: it names the key's place in the file, its value, and the allowed values."""
        inherited = key not in self.values and self._defaults is not None
        return PlanError(
            f"{'defaults.' + key if inherited else self._at(key)} = {quoted(value)} is not allowed: {allowed}"
        )

    def text(self, key: str, default: str | None = None) -> str:
        """Read a text; without a default it is required."""
        value = self._get(key, default)
        if not _is_text(value):
            how = "on one line" if isinstance(value, str) and value.strip() else "that is not empty"
            raise self.refusal(key, value, f"it must be a text {how}")
        return value

    def texts(self, key: str, default: Iterable[str], *, at_least: int = 0) -> tuple[str, ...]:
        """Read a list of texts."""
        value = self._get(key, list(default))
        texts = isinstance(value, list) and all(_is_text(item) for item in value)
        if not isinstance(value, list) or not texts or len(value) < at_least:
            raise self.refusal(key, value, "it must be a list of texts" + (", at least one" if at_least else ""))
        return tuple(value)

    def integer(self, key: str, *, high: int) -> int:
        """Read a required whole number from 1 to ``high``."""
        value = self._get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
            raise self.refusal(key, value, f"it must be a whole number from 1 to {high}")
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        """Read one of the allowed words."""
        value = self.text(key, default)
        if value not in allowed:
            raise self.refusal(key, value, f"it must be one of {', '.join(allowed)}{nearest(value, allowed)}")
        return value

    def __contains__(self, key: str) -> bool:
        return key in self.values or (self._defaults is not None and key in self._defaults)

    def _get(self, key: str, default: object = None) -> object:
        for section in (self, self._defaults):
            if section is not None and key in section.values:
                return section.values[key]
        if default is None:
            raise PlanError(f"{self._at(key)} is missing")
        return default

    def _at(self, key: str) -> str:
        name = plain(key, ROOM)
        return f"{self._path}.{name}" if self._path else name


def _is_text(value: object) -> TypeGuard[str]:
    """Tell whether a value is a text that a command line and a log can hold."""
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()
