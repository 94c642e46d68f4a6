"""Read a figure of somebody's page: one to reckon with, or none."""

from __future__ import annotations

GREATEST = 1e15
"""The greatest figure that is reckoned with; sums and products of greater ones would end at infinity."""


def figure(text: str) -> float | None:
    """Read a figure; None if it is none to reckon with, as NaN, the infinities and what is beyond GREATEST are."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) <= GREATEST else None
