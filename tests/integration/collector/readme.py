"""What collector/README.md says, for the tests that hold it to it."""

from __future__ import annotations

import re

from tests.integration.collector.collector import HERE

TEXT = (HERE / "README.md").read_text()


def block(name: str) -> str:
    """Give the block that a comment of this name announces."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", TEXT, re.DOTALL)
    assert found, name
    return found[1]
