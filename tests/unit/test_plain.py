"""Values of an application, made plain."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from otel_celery import plain
from otel_celery.relay.wire import columns
from tests.integration.relay.hostile import MAKERS, Flags, Small, Word, raising

if TYPE_CHECKING:
    from collections.abc import Iterator


class Leaving:
    """An object that would end whoever asks."""

    def __float__(self) -> float:
        """End the thread that asks."""
        raise SystemExit(3)


PLAIN = {str, bool, int, float, bytes, NoneType, tuple, dict}


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3),
        (2**80, 2**80),
        (True, 1),
        (Small.TWO, 2),
        (Flags.FOUR, 4),
        (0.5, 0.5),
        (np.float64(0.5), 0.5),
        (np.float32(0.25), 0.25),
        (np.int64(7), 7.0),
        (np.True_, 1.0),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 4), 0.25),
        (raising(int, "__int__", "__index__", "__float__")(5), 5),
        (raising(float, "__int__", "__index__", "__float__")(2.5), 2.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_number_is_of_the_type_that_otlp_gives_it(value: Any, number: float) -> None:
    """Integers stay exact, and no method of a subclass is called."""
    made = plain.number(value)
    assert (type(made), made) == (type(number), number)


@pytest.mark.parametrize("value", [None, "x", 1j, object(), 10**400, raising(object, "__float__")(), Leaving()])
def test_what_is_no_number_raises(value: Any) -> None:
    """Whoever asks loses that point; an integer is one, whatever its length."""
    if type(value) is int:
        assert plain.number(value) == value
    else:
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            plain.number(value)


@pytest.mark.parametrize("make", [make for make, _ in MAKERS.values()], ids=list(MAKERS))
def test_a_label_is_plain_or_raises(make: Any) -> None:
    """Each value is of an exact type, so that JSON, repr and both exporters take it; and so is each inside it."""
    try:
        made = plain.label([make(), {"k": make()}], 20)
    except (RuntimeError, TypeError):
        return
    stack: list[Any] = [made]
    while stack:
        value = stack.pop()
        assert type(value) in PLAIN
        if isinstance(value, (str, bytes)):
            assert len(value) <= 20
        stack += value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    item: Any = (("m", None, None, ()), "c", "", "", "counter", (), [((("k", made),), 1)])
    assert repr(columns.unpack(*columns.pack(item))) == repr(item)


def test_labels_are_cleaned_cut_and_ordered() -> None:
    """Equal attributes are equal labels, whatever their order; nothing is left that cannot be encoded."""
    given = {"b": "x" * 50, "a": "t\udce9", "n": 1, "t": True, "l": ["\udce9", 2], "d": {"k": b"v"}, "w": Word.OPEN}
    made = plain.labels(given, 8)
    assert made == (
        ("a", "t?"),
        ("b", "x" * 8),
        ("d", {"k": b"v"}),
        ("l", ("?", 2)),
        ("n", 1),
        ("t", True),
        ("w", "open"),
    )
    assert plain.labels({}, 8) == ()


def test_keys_that_are_cut_alike_are_one() -> None:
    """The last one stays, whatever the types of the two values."""
    assert plain.labels({"k" * 9: 1, "k" * 8 + "x": "a"}, 8) == (("k" * 8, "a"),)


def test_a_sequence_is_asked_for_no_more_than_can_be_shown() -> None:
    """Nor is what stands in it: a task may label with all that it works on."""

    class Long(tuple[int, ...]):
        """Raises where more is asked of it."""

        __slots__ = ()

        def __iter__(self) -> Iterator[int]:
            """Give twenty."""
            yield from range(20)
            raise AssertionError("one more was asked for")

    for made in (plain.label(Long(), 20), plain.label([Long()], 20)[0]):
        assert made == tuple(range(20))


def test_an_integer_of_thousands_of_digits_is_a_text() -> None:
    """Python refuses to print one; one of 400 digits it prints."""
    assert plain.label(10**400, 20) == 10**400
    assert plain.label(10**6_000, 20) == hex(10**6_000)[:20]


def nested(levels: int) -> Any:
    """Make a list of two times the same list, and so on: of a few objects, and billions of items."""
    made: Any = ("x",)
    for _ in range(levels):
        made = (made, made)
    return made


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (range(10**12), 20),
        (bytearray(10**6), 20),
        (nested(64), plain.MAX_ITEMS),
        ({"k": nested(64)}, plain.MAX_ITEMS),
    ],
)
def test_f66_a_label_of_billions_of_items_is_cut(value: Any, expected: int) -> None:
    """What is one small object to the SDK is not written out."""
    stack, items = [plain.label(value, 20)], 0
    while stack:
        value = stack.pop()
        inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, tuple) else []
        items += len(inner)
        stack += inner
    assert items == expected
