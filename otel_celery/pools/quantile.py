"""A quantile of a histogram's buckets, estimated as PromQL's histogram_quantile does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """Estimate a quantile from cumulative counts by upper bound; None where nothing was counted.

    Within a bucket the values are taken to lie evenly; above the last finite bound that bound is the answer.
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
