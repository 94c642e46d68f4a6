"""The page of situations: each row names tests that exist, and no row is without one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "situations.md"
SITUATIONS = range(1, 31)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> dict[int, str]:
    """Read each numbered row of the page's table."""
    found = re.findall(r"^\| (\d+) \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {int(number): text for number, text in found}


def test_each_situation_has_a_row() -> None:
    """The page lists the situations by their numbers, in order."""
    assert list(rows()) == list(SITUATIONS)


@pytest.mark.parametrize("number", SITUATIONS)
def test_each_row_names_tests_that_exist(number: int) -> None:
    """A test that was renamed or removed is noticed here."""
    named = _TEST.findall(rows()[number])
    assert named
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, (path, name)
