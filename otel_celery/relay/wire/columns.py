"""Encode the points of one instrument: a line of JSON, a line for the labels of each point, and arrays of numbers.

:mod:`marshal` would write all of it in one call, but it trusts the length of a list that the sender states: a few bytes
stop the whole process for minutes. Here the decoded size is bounded by a multiple of the bytes received, and decoding
is nearly as quick.
"""

from __future__ import annotations

import functools
import json
from array import array
from types import NoneType
from typing import TYPE_CHECKING, Any

from otel_celery.relay.wire import points

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_celery.relay.wire.points import Item, Labels

MAX_POINTS = 500
"""Points of one item, at most: a child that is killed while it sends loses the current item."""

MAX_KNOWN = 512
"""Longest text of labels whose decoded form is cached, in characters."""

SIZE = 8
"""Bytes of a number, a 64-bit integer or a float."""

_CODES = {"d", "q"}
_SCALARS = {str, bool, int, float, NoneType}

write = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
"""Encodes plain values in one line. Raises TypeError, ValueError or RecursionError for others."""


def pack(item: Item) -> tuple[list[Any], bytes]:
    """Return the content of the line of JSON, and the bytes that follow it.

    Raises as :data:`write` does.
    """
    (scope, version, schema, attributes), *texts, kind, bounds, held = item
    labels, *columns = zip(*held, strict=True)
    if kind == points.HISTOGRAM:
        columns[-1] = tuple([count for counts in columns[-1] for count in counts])
    lines = "\n".join(map(_text, labels)).encode()
    codes, arrays = zip(*map(_column, columns), strict=True)
    head = [[scope, version, schema, _text(attributes)], *texts, kind, bounds, len(held), len(lines), codes]
    return head, b"".join([lines, *arrays])


def unpack(head: Sequence[Any], rest: bytes) -> Item:
    """Decode an item.

    Raises exceptions of many kinds if it is malformed.
    """
    (scope, version, schema, attributes), *texts, kind, bounds, number, length, codes = head
    name, unit, description = texts
    if not 0 < number <= MAX_POINTS:
        raise ValueError(f"{number} points")
    widths = [number] * len(codes)
    if kind == points.HISTOGRAM:
        widths[-1] *= len(bounds) + 1
    columns = list(_columns(codes, widths, rest[length:]))
    if kind == points.HISTOGRAM:
        columns[-1] = list(zip(*[iter(columns[-1])] * (len(bounds) + 1), strict=True))
    labels = map(_labels, rest[:length].decode("ascii").split("\n"))
    held: list[Any] = list(zip(labels, *columns, strict=True))
    return (scope, version, schema, _labels(attributes)), name, unit, description, kind, tuple(bounds), held


def _column(values: Sequence[Any]) -> tuple[Any, bytes]:
    """Return an array's type code and its bytes; numbers that no array holds stay in the line of JSON."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return "d", array("d", values).tobytes()
    if kinds == {int}:
        try:
            return "q", array("q", values).tobytes()
        except OverflowError:
            pass
    return values, b""


def _columns(codes: Iterable[Any], widths: Iterable[int], rest: bytes) -> Iterator[list[Any]]:
    for code, width in zip(codes, widths, strict=True):
        if type(code) is list and len(code) == width:
            yield code
        elif type(code) is str and code in _CODES and len(rest) >= width * SIZE:
            yield array(code, rest[: width * SIZE]).tolist()
            rest = rest[width * SIZE :]
        else:
            raise ValueError("an invalid array")
    if rest:
        raise ValueError("more than was said")


def _text(labels: Labels) -> str:
    return write([(key, value if type(value) in _SCALARS else _tagged(value)) for key, value in labels])


def _tagged(value: Any) -> Any:
    """Convert a value that JSON lacks: a tuple becomes a list; bytes and mappings get a tag with their type."""
    if type(value) is tuple:
        return list(map(_tagged, value))
    if type(value) is bytes:
        return {"bytes": value.decode("latin-1")}
    return {"mapping": {key: _tagged(each) for key, each in value.items()}} if type(value) is dict else value


def _labels(text: str) -> Labels:
    return _known(text) if len(text) <= MAX_KNOWN else _read(text)


def _read(text: str) -> Labels:
    return tuple([(key, value if type(value) in _SCALARS else _untagged(value)) for key, value in json.loads(text)])


_known = functools.lru_cache(2_048)(_read)


def _untagged(value: Any) -> Any:
    if type(value) is list:
        return tuple(map(_untagged, value))
    if type(value) is not dict:
        return value
    ((tag, held),) = value.items()
    return held.encode("latin-1") if tag == "bytes" else {key: _untagged(each) for key, each in held.items()}
