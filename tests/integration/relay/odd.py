"""Tasks that record whatever the metrics API takes: made up, but the same for the same seed."""

from __future__ import annotations

import contextlib
import random
from decimal import Decimal
from typing import Any

import numpy as np
from opentelemetry import metrics
from opentelemetry.metrics import Observation

from tests.callbacks import ODD, giving
from tests.integration.relay.shop import app, meter

__all__ = ["app"]

KINDS = ("counter", "up_down_counter", "gauge", "histogram", "histogram")
OBSERVED_KINDS = ("counter", "up_down_counter", "gauge")
OBSERVED = 0.2
"""How much of it is observed as well: the SDK logs what a callback raises at each collection."""
BOUNDS: tuple[Any, ...] = (
    *(
        None,
        [],
        [1, 10],
        [False, True],
        [-1.0, 0, 1.0],
        [2**53, 2**53 + 1],
        [1, 1],
        [2, 1],
        (1, 2.5),
        range(3),
        "12",
        5,
    ),
    *([float("nan")], [1, float("inf")], [10**400], ["1"], [None], [1e-320, 1e300]),
    *(np.array([1.0, 2.0]), [np.float64(0.5), np.float64(2.5)], [np.float32(1)], [np.int64(1), 2]),
)
NAMES = ("zz", "zz.total", "zz_created", "zz_bucket", "zz_sum", "zz.info", "celery.tasks", "target", "yy", "xx-ww")
UNITS = ("", "s", "By/s", "1", "%")
KEYS = ("a", "a.b", "a_b", "le", "quantile", "__name__", "job", "\xe9", "9", "\udcff", "k" * 300)
VALUES: tuple[Any, ...] = (
    *("", "1", 1, 1.0, True, "true", None, "null", b"\xff", "\udcff", '\\"\n{},= # {a="b"} 1 \r\0', "x" * 300 + "a"),
    *("x" * 300 + "b", 2**63, 10**5000, float("nan"), ["a", None], ("a",), [], {"a": 1}, Decimal("1.5")),
)
NUMBERS = (0, 1, 2.5, True, -1, 2**62, 2**63, 10**19, 1e300, 5e-324, float("nan"), float("inf"))


def labels_of(chance: random.Random) -> dict[str, Any]:
    """Make up labels."""
    return {chance.choice(KEYS): chance.choice(VALUES) for _ in range(chance.randrange(4))}


def record_some(chance: random.Random, made: Any) -> None:
    """Record with an instrument, for up to three label sets."""
    add = getattr(made, "add", None) or getattr(made, "set", None) or made.record
    for _ in range(chance.randint(1, 3)):
        with contextlib.suppress(TypeError, ValueError, ArithmeticError):
            add(chance.choice(NUMBERS), labels_of(chance))


def callback(chance: random.Random) -> Any:
    """Make up a callback, one of two being one that goes wrong."""
    told: Any = [Observation(chance.choice(NUMBERS), labels_of(chance)) for _ in range(chance.randrange(3))]
    return chance.choice((giving(told), chance.choice(ODD)))


@app.task(name="odd.record")
def record(seed, calls):
    """Record at random, and have as much observed; what the API itself refuses is not recorded."""
    chance = random.Random(seed)
    plain = metrics.get_meter("plain").create_counter("plain")
    for _ in range(calls):
        kind, name, unit = chance.choice(KINDS), chance.choice(NAMES), chance.choice(UNITS)
        odd = metrics.get_meter(chance.choice("mno\udcff"))
        bounds = {"explicit_bucket_boundaries_advisory": chance.choice(BOUNDS)} if kind == "histogram" else {}
        record_some(chance, getattr(odd, f"create_{kind}")(name, unit, **bounds))
        if chance.random() < OBSERVED:
            callbacks = [callback(chance) for _ in range(chance.randint(1, 3))]
            getattr(odd, f"create_observable_{chance.choice(OBSERVED_KINDS)}")(name, callbacks, unit)
    plain.add(1, {"a": "b"})


@app.task(name="odd.still")
def still():
    """Record once with each instrument, in what nobody else records."""
    labels: dict[str, Any] = {"site": "x", "number": 1}
    meter.create_counter("still.orders").add(3, labels)
    meter.create_up_down_counter("still.open").add(-2, labels)
    meter.create_gauge("still.level").set(0.5, labels)
    for value in (0.01, 7, 3e5):
        meter.create_histogram("still.size", "By").record(value, labels)


@app.task(name="odd.wide")
def wide():
    """Count beyond 64 bits, beside what is plain, and label with what no encoder takes."""
    meter.create_counter("wide").add(2**63)
    meter.create_counter("labelled").add(1, {"a": "\udcff", "b": b"\xff", "c": ["\udcff", None], "d": 10**5000})
    meter.create_histogram("weight.wide").record(2**70)
    meter.create_counter("plain").add(1)
