"""Say numbers as an operator reads them."""

from __future__ import annotations

MINUTE = 60
HOUR = 3600
DAY = 86400
MANY = 10
HUNDRED = 100


def duration(seconds: float | None) -> str:
    """Say a duration in at most seven letters; a dash if it is not known."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE:
        return f"{seconds:.1f} s" if seconds < MANY else f"{seconds:.0f} s"
    for unit, size in (("min", MINUTE), ("h", HOUR), ("d", DAY)):
        if seconds < {"min": HOUR, "h": 2 * DAY, "d": float("inf")}[unit]:
            number = seconds / size
            return f"{number:.1f} {unit}" if number < MANY and number % 1 >= 0.05 else f"{number:.0f} {unit}"  # noqa: PLR2004
    return "-"


def rate(per_second: float | None) -> str:
    """Say a rate a second in at most five letters; a dash for none, since 0 would be noise."""
    if not per_second:
        return "-"
    if per_second < MANY:
        return f"{per_second:.2f}" if per_second >= 0.005 else "<0.01"  # noqa: PLR2004
    return f"{per_second:.1f}" if per_second < HUNDRED else f"{per_second:.0f}"


def share(ratio: float | None) -> str:
    """Say a ratio as a percentage; a dash if it is not known."""
    if ratio is None:
        return "-"
    if ratio in {0.0, 1.0}:
        return f"{ratio * 100:.0f} %"
    return f"{ratio * 100:.1f} %" if ratio < 0.1 or ratio > 0.99 else f"{ratio * 100:.0f} %"  # noqa: PLR2004


def count(number: float | None) -> str:
    """Say a whole number; a dash if it is not known."""
    return "-" if number is None else f"{number:.0f}"


def plural(number: float, one: str, many: str = "") -> str:
    """Say how many there are."""
    return f"{number:.0f} {one if round(number) == 1 else many or one + 's'}"
