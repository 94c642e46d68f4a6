"""The page of faults: each number once, each row with tests that exist or a reason, each numbered test in its row."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
FAULTS = range(1, 89)
NO_TEST = "no test: "
LONG_ENOUGH = 40
"""The characters of a reason: "none" is no reason."""
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[tuple[int, str, str]]:
    """Read each row of the page's table: its number, the row, and its last cell."""
    found = re.findall(r"^\| F(\d+) \|(.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [(int(number), text, text.split(" | ")[-1]) for number, text in found]


@cache
def functions_of(path: str) -> frozenset[str]:
    """Name the functions of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def numbered() -> list[tuple[int, str]]:
    """List the tests that are named by a fault, wherever they are, as the page writes them."""
    files = (str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").rglob("test_*.py")))
    found = [
        (re.match(r"test_f(\d+)_", name), f"{path}::{name}") for path in files for name in sorted(functions_of(path))
    ]
    return [(int(match[1]), name) for match, name in found if match]


def test_each_fault_has_one_row() -> None:
    """The numbers are there without a gap, in order, and none twice."""
    assert [number for number, _, _ in rows()] == list(FAULTS)


@pytest.mark.parametrize(("number", "cell"), [(number, cell) for number, _, cell in rows()])
def test_each_row_has_tests_that_exist_or_a_reason(number: int, cell: str) -> None:
    """A test that was renamed or removed is noticed here, and so is a row that says nothing."""
    named = _TEST.findall(cell)
    if cell.startswith(NO_TEST):
        assert not named, number
        assert len(cell) > len(NO_TEST) + LONG_ENOUGH, number
    else:
        assert named, number
    for path, name in named:
        assert name in functions_of(path), (number, path, name)


def test_each_test_of_a_fault_is_in_its_row() -> None:
    """A test that is named by a number is found from the page."""
    assert numbered()
    named = {(number, f"{path}::{name}") for number, _, cell in rows() for path, name in _TEST.findall(cell)}
    assert [missing for missing in numbered() if missing not in named] == []


def test_each_row_says_fault_outcome_and_tests() -> None:
    """No cell is empty, and none has slipped into its neighbour."""
    for number, text, _ in rows():
        cells = text.split(" | ")
        assert len(cells) == 3, number
        assert all(cell.strip() for cell in cells), number
