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
    waited: int
    """More of them, once a message of the task told when it was published."""
    published: int
    """For each task and queue that the worker publishes."""


def formula() -> Formula:
    """Read the formula."""
    found = re.search(
        r"series = (\d+) \+ queues \+ (\d+) \S tasks \+ (\d+) \S tasks that succeeded \+ (\d+) \S tasks that waited"
        r" \+ (\d+) \S tasks published \+ exceptions",
        TEXT,
    )
    assert found
    return Formula(*map(int, found.groups()))


def block(name: str) -> str:
    """Give the block that a comment of this name announces."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", TEXT, re.DOTALL)
    assert found, name
    return found[1]
