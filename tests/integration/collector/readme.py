"""What collector/README.md says, for the tests that hold it to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

TEXT = (Path(__file__).parents[3] / "collector" / "README.md").read_text()


class Formula(NamedTuple):
    """The numbers of the formula for a worker's series."""

    own: int
    task: int
    """For each task that the worker expects."""
    succeeded: int
    """More of them, once the task has succeeded."""


def formula() -> Formula:
    """Read the formula."""
    found = re.search(
        r"series = (\d+) \+ queues \+ (\d+) \S tasks \+ (\d+) \S tasks that succeeded \+ exceptions", TEXT
    )
    assert found
    return Formula(*map(int, found.groups()))


def block(name: str) -> str:
    """Give the block that a comment of this name announces."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", TEXT, re.DOTALL)
    assert found, name
    return found[1]
