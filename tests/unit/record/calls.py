"""Calls of the metrics API as hypothesis makes them up, and how they are played."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from opentelemetry.metrics import Observation

from tests.callbacks import ODD, giving

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

KEYS = st.one_of(
    st.sampled_from(["a", "a.b", "a_b", "le", "quantile", "__name__", "job", "é", "9"]), st.text(min_size=1)
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(5000).map(lambda digits: 10**digits),
    st.floats(),
    st.text(st.characters()),
    st.binary(),
    st.sampled_from(["", "1", "true", '\\"\n{},= # {a="b"} 1', np.float64(1)]),
)
LABELS = st.dictionaries(KEYS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=4)
NUMBERS = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.sampled_from([10**400, 2**63, np.float64(2), np.int64(3), Decimal(1)])
)
NAMES = st.sampled_from(
    [
        "zz",
        "zz.total",
        "zz_created",
        "zz_bucket",
        "zz_sum",
        "zz_count",
        "zz.info",
        "zz_total_total",
        "celery.tasks",
        "target",
    ]
)
KINDS = st.sampled_from(["counter", "up_down_counter", "gauge", "histogram"])
OBSERVED_KINDS = st.sampled_from([f"observable_{kind}" for kind in ("counter", "up_down_counter", "gauge")])
RECORDED = st.lists(st.tuples(NUMBERS, LABELS), min_size=1, max_size=3)
BOUND = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.sampled_from([np.float64(1), np.float32(2), np.int64(3), "1", None, 10**400, Fraction(1, 2), Decimal(1)]),
)
BOUNDS = st.one_of(
    st.none(),
    st.lists(BOUND, max_size=5),
    st.lists(st.one_of(st.floats(allow_nan=False), st.integers()), max_size=8, unique=True).map(sorted),
    st.sampled_from(
        [
            np.array([1.0, 2.0]),
            (1, 2),
            range(3),
            "12",
            5,
            [1, 1],
            [2, 1],
            [1, 1.0, True],
            [2**53, 2**53 + 1.0],
            [-0.0, 0.0],
        ]
    ),
)
CALLBACKS = st.lists(
    st.one_of(RECORDED.map(lambda told: giving([Observation(*each) for each in told])), st.sampled_from(ODD)),
    min_size=1,
    max_size=3,
)
SCOPES = st.sampled_from("mno")
UNITS = st.sampled_from(["", "s", "1", "By/s", "%", "a:b"])
CALLS = st.lists(
    st.one_of(
        st.tuples(SCOPES, KINDS, NAMES, UNITS, BOUNDS, RECORDED),
        st.tuples(SCOPES, OBSERVED_KINDS, NAMES, UNITS, st.none(), CALLBACKS),
    ),
    min_size=1,
    max_size=8,
)
REFUSED = (TypeError, ValueError, OverflowError, ArithmeticError)
"""What the metrics API itself raises for what it does not take."""


def play(meter: Meter, call: tuple[Any, ...]) -> None:
    """Record each number, or have each callback called; what the API itself refuses is not recorded."""
    kind, name, unit, bounds, given = call
    make = getattr(meter, f"create_{kind}")
    if kind.startswith("observable"):
        make(name, given, unit)
        return
    instrument = make(name, unit, **{"explicit_bucket_boundaries_advisory": bounds} if kind == "histogram" else {})
    record = getattr(instrument, "add", None) or getattr(instrument, "set", None) or instrument.record
    for number, labels in given:
        with contextlib.suppress(*REFUSED):
            record(number, labels)
