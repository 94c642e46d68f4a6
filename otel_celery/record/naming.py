"""Convert OpenTelemetry's names of metrics, units and labels to Prometheus's.

The rules are OpenTelemetry's (https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/). The
exporter's own functions for them are private, and without them the port would be down. A test compares these functions
with the exporter's.
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
"""UCUM's units as words; the Collector has the same."""

PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
"""Units below a fraction's line as words: ``m/s`` is ``meters_per_second``."""

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9]+")
_ANNOTATION = re.compile(r"{.*}")


def metric_name(name: str) -> str:
    """Convert a metric's name, without its unit or the suffix of its kind."""
    return _NOT_IN_NAMES.sub("_", _no_digit_first(name))


def label_name(key: str) -> str:
    """Convert a label's name."""
    return _NOT_IN_LABELS.sub("_", _no_digit_first(key))


def label_value(value: Any) -> str:
    """Convert a label's value: a text stays as it is, anything else becomes JSON."""
    return str(value) if isinstance(value, str) else json.dumps(value, default=str)


def unit_word(unit: str) -> str:
    """Convert a unit to the end of a metric's name; empty for a metric without a unit.

    A colon becomes an underscore. The exporter keeps it, and OpenMetrics' writer then shows a family under two names.
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
