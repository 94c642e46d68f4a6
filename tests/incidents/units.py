"""Which power of a second each number of an expression is: 1 of a duration or a moment, -1 of a rate, 0 of a count.

A number has no unit of its own. It takes that of what it is compared with, added to, or bounded by: `> 180` beside an
age is three minutes, `> 0.1` beside a rate is six in a minute. A whole number from thirty on that multiplies is one of
seconds. What a series is in follows from its name, as Prometheus's conventions and the head of rules.yml have it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import promql_parser as promql

COUNTS = {"count", "group", "absent", "absent_over_time", "changes", "resets", "count_over_time", "present_over_time"}
"""Functions and aggregations whose result is a number of something, whatever they look at."""
MOMENTS = {"time", "timestamp"}
PER_SECOND = {"rate", "irate", "deriv"}
QUANTILES = {"histogram_quantile"}
COMPARISONS = {"==", "!=", ">", "<", ">=", "<="}
LEAST = 30


@dataclass
class Number:
    """A number as it stands in an expression, and the power of a second that it is."""

    value: float
    power: int = 0


@dataclass(frozen=True)
class Found:
    """What a part of an expression is in; None where it is zero, or takes the unit of what stands beside it."""

    power: int | None = None
    number: Number | None = None


@dataclass
class Reading:
    """An expression that is read: its numbers in the order of its text."""

    numbers: list[Number] = field(default_factory=list)

    def read(self, node: Any) -> Found:
        """Read a part; raise ValueError where unlike is compared with unlike."""
        found: Found = getattr(self, f"_{type(node).__name__}")(node)
        return found

    def _NumberLiteral(self, node: promql.NumberLiteral) -> Found:  # noqa: N802  the parser's names
        self.numbers.append(Number(node.val))
        return Found(number=self.numbers[-1])

    def _StringLiteral(self, _: promql.StringLiteral) -> Found:  # noqa: N802
        return Found(0)

    def _VectorSelector(self, node: promql.VectorSelector) -> Found:  # noqa: N802
        return Found(power_of(node.name or ""))

    def _MatrixSelector(self, node: promql.MatrixSelector) -> Found:  # noqa: N802
        return self.read(node.vector_selector)

    def _SubqueryExpr(self, node: promql.SubqueryExpr) -> Found:  # noqa: N802
        return self.read(node.expr)

    def _ParenExpr(self, node: promql.ParenExpr) -> Found:  # noqa: N802
        return self.read(node.expr)

    def _UnaryExpr(self, node: promql.UnaryExpr) -> Found:  # noqa: N802
        return self.read(node.expr)

    def _AggregateExpr(self, node: promql.AggregateExpr) -> Found:  # noqa: N802
        if node.param is not None:
            self.read(node.param)
        found = self.read(node.expr)
        return Found(0) if str(node.op) in COUNTS else found

    def _Call(self, node: promql.Call) -> Found:  # noqa: N802
        name, found = node.func.name, [self.read(each) for each in node.args]
        if name in COUNTS:
            return Found(0)
        if name in MOMENTS | QUANTILES:
            return Found(1)
        if name in PER_SECOND:
            return Found((found[0].power or 0) - 1)
        return _alike(node, *found) if name.startswith("clamp") else found[0]

    def _BinaryExpr(self, node: promql.BinaryExpr) -> Found:  # noqa: N802
        left, right, operator = self.read(node.lhs), self.read(node.rhs), str(node.op)
        if operator in {"*", "/"}:
            return _product(left, right, 1 if operator == "*" else -1)
        if operator in {"and", "unless"}:
            return left
        if operator == "or" and None not in {left.power, right.power} and left.power != right.power:
            return Found(0)  # what is asked is whether there is any
        found = _alike(node, left, right)
        return Found(0) if operator in COMPARISONS and _is_bool(node) else found


def numbers(expression: str) -> list[Number]:
    """Give an expression's numbers in the order of its text, each with its power of a second."""
    reading = Reading()
    reading.read(promql.parse(expression))
    return reading.numbers


def power_of(name: str) -> int:
    """Tell the power of a second that a series is in, by its name: level:metric:operations where it is recorded."""
    _, metric, operations = (*name.split(":"), "", "")[:3] if ":" in name else ("", name, "")
    power = int(re.search(r"_seconds(_sum)?$", metric) is not None)
    if operations == "last_timestamp":
        return 1
    if operations.startswith("ratio"):
        return 0
    return power - 1 if re.match(r"rate\d", operations) else power


def _alike(node: Any, *found: Found) -> Found:
    """Give the unit of parts that have the same, to the numbers among them too."""
    powers = {each.power for each in found} - {None}
    if len(powers) > 1:
        raise ValueError(f"{node}: compares powers {sorted(map(str, powers))} of a second")
    if not powers:
        return found[0]
    power = powers.pop()
    for each in found:
        if each.power is None and each.number is not None and power is not None:
            each.number.power = power
    return Found(power)


def _product(left: Found, right: Found, sign: int) -> Found:
    """Give the unit of a product (``sign`` 1) or a quotient (-1)."""
    if left.number and right.number:
        return left
    for factor in (left.number, right.number):
        if factor and factor.value == 0:
            return Found()
        if factor and factor.value >= LEAST and factor.value.is_integer():
            factor.power = 1
    powers = [each.number.power if each.number else each.power or 0 for each in (left, right)]
    return Found(powers[0] + sign * powers[1])


def _is_bool(node: promql.BinaryExpr) -> bool:
    return node.modifier is not None and node.modifier.return_bool
