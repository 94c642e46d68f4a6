"""Make values that every exporter can send and the port can show.

OTLP carries integers of 64 bits. Its encoder raises for a longer one, for a lone surrogate, and for a number that is
none, and then the whole push is lost. The console's exporter cannot write bytes. Values made here contain none of
these.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from otel_celery import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    Scalar = str | bool | int | float | None
    Label = Scalar | tuple[Scalar, ...]

LEAST, MOST = -(2**63), 2**63 - 1
"""The smallest and the largest integer that OTLP can carry."""

MAX_TEXT = 1_000
"""Longest name, unit or description, in characters."""


def number(value: Any) -> int | float | None:
    """Return a number that can be sent; None if the value is no number.

    An integer beyond 64 bits becomes a float.
    """
    try:
        made = plain.number(value)
        return made if type(made) is float or LEAST <= made <= MOST else float(made)
    except Exception:  # noqa: BLE001  a user's class may raise anything; and no float holds 10 ** 400
        return None


def label(value: Any, length: int) -> Label:
    """Return a scalar, or a tuple of scalars; bytes, mappings and deeper nesting become JSON.

    Raises any exception of the value's own methods, and RecursionError if it is nested without end.
    """
    made = plain.label(value, length)
    if type(made) is tuple:
        return tuple([_scalar(each, length) for each in made])
    return _scalar(made, length)


def labels(attributes: Mapping[str, Any], length: int) -> dict[str, Label]:
    """Make attributes plain; of keys that are equal once they are cut, the last one stays.

    Raises as :func:`label` does.
    """
    return {plain.text(key, length): label(value, length) for key, value in attributes.items()}


def shown(value: Label, length: int) -> str:
    """Format a label's value as the port shows it: a text stays as it is, anything else becomes JSON."""
    return value if type(value) is str else plain.text(json.dumps(value), length)


def text(value: Any, length: int = MAX_TEXT) -> str:
    """Return a clean text; empty for None, and for an object that raises. Never raises."""
    try:
        return "" if value is None else plain.text(value, length)
    except Exception:  # noqa: BLE001  a user's class may raise anything
        return ""


def _scalar(made: Any, length: int) -> Scalar:
    kind = type(made)
    if kind is int and not LEAST <= made <= MOST:
        return plain.text(str(made), length)  # str() cannot refuse it: plain.label has made longer ones hexadecimal
    return (
        made if made is None or kind in {str, bool, int, float} else plain.text(json.dumps(made, default=str), length)
    )
