"""The page about publishers: each example runs as it stands, and prints what stands below it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.integration.worker.harness import ROOT

PAGE = (ROOT / "docs" / "publishers.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_prints_what_the_page_says(example: str) -> None:
    """In a process of its own, with nothing in its environment."""
    run = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)}
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == re.findall(r"^# (.*)$", example, re.MULTILINE)
