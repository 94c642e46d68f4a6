"""How Prometheus writes what OpenTelemetry names: metrics, units and labels.

OpenTelemetry's specification says how (https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/).
The exporter has functions for it that are private, and whose absence would take the port down; a test holds these to
those.
"""

from __future__ import annotations

import json
import re
from typing import Any

UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
"""UCUM's units as words, as the Collector has them too."""

PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
"""The same below a fraction's line: m/s is meters_per_second."""

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9]+")
_ANNOTATION = re.compile(r"{.*}")


def metric_name(name: str) -> str:
    """Write a metric's name, without its unit or the suffix of its kind."""
    return _NOT_IN_NAMES.sub("_", _no_digit_first(name))


def label_name(key: str) -> str:
    """Write a label's name."""
    return _NOT_IN_LABELS.sub("_", _no_digit_first(key))


def label_value(value: Any) -> str:
    """Write a label's value: a text as it is, anything else as JSON."""
    return str(value) if isinstance(value, str) else json.dumps(value, default=str)


def unit_word(unit: str) -> str:
    """Write a unit as the end of a metric's name; empty where it has none.

    A colon becomes an underscore: the exporter keeps it, and OpenMetrics' writer then shows a family under two names.
    """
    unit = _ANNOTATION.sub("", unit).replace(":", "_")
    if unit in UNITS:
        return UNITS[unit]
    above, line, below = unit.partition("/")
    if line and (below := _NOT_IN_NAMES.sub("_", below)):
        above = _NOT_IN_NAMES.sub("_", above)
        above, below = UNITS.get(above, above), PER.get(below, below)
        return f"{above}_per_{below}" if above else f"per_{below}"
    return _NOT_IN_NAMES.sub("_", unit).strip("_")


def _no_digit_first(name: str) -> str:
    return f"_{name[1:]}" if name[:1].isdigit() else name
