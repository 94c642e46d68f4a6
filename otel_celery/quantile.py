"""Estimate a quantile from a histogram's buckets, as PromQL's histogram_quantile does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """Estimate a quantile (0 to 1) from cumulative counts by upper bound; None if nothing was counted.

    Values are assumed to be spread evenly within a bucket. A quantile above the last finite bound is that bound.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or not math.isinf(bounds[-1]) or buckets[bounds[-1]] <= 0:  # noqa: PLR2004  one finite, one not
        return None
    rank = q * buckets[bounds[-1]]
    index = next(i for i, bound in enumerate(bounds) if buckets[bound] >= rank)
    if index == len(bounds) - 1:
        return bounds[-2]
    low, below = (bounds[index - 1], buckets[bounds[index - 1]]) if index else (0.0, 0.0)
    inside = buckets[bounds[index]] - below
    return low + (bounds[index] - low) * ((rank - below) / inside if inside else 1.0)
