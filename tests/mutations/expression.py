"""An expression with one thing changed: a number, a duration, a matcher or a condition.

What stands there several times is one thing: the quarter of an hour of a count is its windows and its offsets.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.incidents.pace import TOKEN, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Change = tuple[int, int, str]
    """From where, to where, and what is put there."""

LEXEME = re.compile(rf"{TOKEN.pattern}|(?P<sign>[=!<>]=|=~|!~|[()\[\]{{}},*=<>])")
"""What an expression is made of, with those of its signs that part something."""
SETS = {"and", "or", "unless"}
MATCHES = {"=", "!=", "=~", "!~"}
COMPARES = {">": ">=", "==": ">=", "<": "<="}
"""What a comparison with nought becomes: nought passes, or all that is more."""
BEFORE, AFTER = 50, 40
"""Characters around a change by which it is told from others."""


@dataclass(frozen=True)
class Mutation:
    """One change of an expression: what is changed, among what stands around it, and what it becomes."""

    what: str
    expression: str


@dataclass(frozen=True)
class Lexeme:
    """A part of an expression's text."""

    kind: str
    text: str
    begin: int
    end: int
    depth: int
    """Brackets that are open around it."""


def mutations(expression: str) -> list[Mutation]:
    """Change each number, duration, matcher and condition of an expression, one at a time."""
    text = " ".join(expression.split())
    lexemes = _lexemes(text)
    every = (*_numbers(lexemes), *_durations(lexemes), *_matchers(text, lexemes), *_conditions(text, lexemes))
    return [Mutation(_said(text, changes), _changed(text, changes)) for changes in every]


def _lexemes(text: str) -> list[Lexeme]:
    found, depth = [], 0
    for each in LEXEME.finditer(text):
        depth -= each[0] in {")", "]", "}"}
        found.append(Lexeme(each.lastgroup or "", each[0], *each.span(), depth))
        depth += each[0] in {"(", "[", "{"}
    return found


def _numbers(lexemes: list[Lexeme]) -> Iterator[list[Change]]:
    """Halve and double each; nought lets pass what it did not; nought that multiplies brings labels, and stays."""
    for before, each in itertools.pairwise(lexemes):
        if each.kind != "number":
            continue
        if float(each.text):
            yield from ([(each.begin, each.end, f"{float(each.text) * by:g}")] for by in (0.5, 2))
        elif before.text in COMPARES:
            yield [(before.begin, before.end, COMPARES[before.text])]


def _durations(lexemes: list[Lexeme]) -> Iterator[list[Change]]:
    """Halve and double each."""
    for same in _alike(lexemes, lambda each: each.kind == "duration"):
        for by in (0.5, 2):
            moved = f"{int(milliseconds(same[0].text) * by)}ms"
            yield [(each.begin, each.end, moved) for each in same]


def _matchers(text: str, lexemes: list[Lexeme]) -> Iterator[list[Change]]:
    """Leave each out."""
    places: dict[str, list[Change]] = {}
    for label, sign, value, after in zip(lexemes, lexemes[1:], lexemes[2:], lexemes[3:], strict=False):
        if sign.text in MATCHES and value.kind == "text":
            end = after.end if after.text == "," else value.end
            places.setdefault(text[label.begin : value.end], []).append((label.begin, end, ""))
    yield from places.values()


def _conditions(text: str, lexemes: list[Lexeme]) -> Iterator[list[Change]]:
    """Leave out what follows each ``and``, ``unless`` and ``or``, and what is in front of the first ``or``."""
    for number, each in enumerate(lexemes):
        if each.text in SETS and each.kind == "word":
            parts = {",", "or"} if each.text == "or" else {",", *SETS}
            after, before = lexemes[number + 1 :], lexemes[number - 1 :: -1]
            yield [(each.begin, next((one.begin for one in after if _parts(one, each.depth, parts)), len(text)), "")]
            first = next((one for one in before if _parts(one, each.depth, {",", "or"})), None)
            if each.text == "or" and (first is None or first.text != "or"):
                yield [(first.end if first else 0, each.end, "")]


def _parts(one: Lexeme, depth: int, texts: set[str]) -> bool:
    """Tell whether an operand ends here: its bracket does, or something follows at its depth."""
    return one.depth < depth or (one.depth == depth and one.text in texts)


def _alike(lexemes: list[Lexeme], chosen: Callable[[Lexeme], bool]) -> list[list[Lexeme]]:
    """Put those together that have one text."""
    found: dict[str, list[Lexeme]] = {}
    for each in filter(chosen, lexemes):
        found.setdefault(each.text, []).append(each)
    return list(found.values())


def _changed(text: str, changes: Sequence[Change]) -> str:
    for begin, end, into in reversed(changes):
        text = f"{text[:begin]} {into} {text[end:]}"
    return " ".join(text.split())


def _said(text: str, changes: Sequence[Change]) -> str:
    """Say what is changed, with a few words around it, and into what."""
    (begin, end, into), times = changes[0], f" ({len(changes)} times)" if len(changes) > 1 else ""
    around = f"{text[max(0, begin - BEFORE) : begin]}<<{text[begin:end]}>>{text[end : end + AFTER]}"
    return f"{around} -> {into or 'nothing'}{times}"
