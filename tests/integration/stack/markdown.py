"""The operators' guide and the runbook, taken apart: what stands in blocks to be run, and what in sentences."""

from __future__ import annotations

import re

from tests.integration.stack.servers import MONITORING

GUIDE, RUNBOOK = ((MONITORING / name).read_text() for name in ("README.md", "RUNBOOK.md"))


def blocks(language: str, page: str) -> list[str]:
    """List the fenced blocks in a language, without the indentation of the list that they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", page, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def commands(page: str) -> list[str]:
    """List the commands of a page, each once, without what is said behind it."""
    lines = [line for block in blocks("console", page) for line in block.splitlines()]
    return list(dict.fromkeys(re.sub(r" +# .*", "", line.removeprefix("$ ")) for line in lines))


def queries(page: str) -> list[str]:
    """List the queries of a page's blocks, which an empty line parts."""
    return [text for block in blocks("promql", page) for text in re.split(r"\n\s*\n", block.strip())]


def spans(page: str) -> list[str]:
    """List what stands in a page's sentences between backquotes."""
    prose = re.sub(r"^ *```.*?^ *```", "", page, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`]+)`", prose)


COMMANDS = commands(GUIDE)
LOOKS = [line for line in commands(RUNBOOK) if line not in COMMANDS]
"""What only the runbook has."""
