"""What a configuration file offers, and is off: blocks of comments between ``option: <name>`` and ``end``."""

from __future__ import annotations

import re

BLOCK = re.compile(r"^ *# option: (?P<name>[^\n]+)\n(?P<lines>.*?)^ *# end\n", re.MULTILINE | re.DOTALL)

PLACEHOLDER = "$2y$10$REPLACE.THIS.BY.THE.HASH.THAT.HTPASSWD.PRINTS"
"""What web-config.yml has in the place of a password's hash."""


def offered(text: str) -> list[str]:
    """Name the options of a file."""
    return [match["name"] for match in BLOCK.finditer(text)]


def switched_on(text: str, option: str) -> str:
    """Take away the ``# `` in front of each line of an option, as its file tells the operator to do."""
    block = next(match for match in BLOCK.finditer(text) if match["name"] == option)
    lines = re.sub(r"^( *)# ", r"\1", block["lines"], flags=re.MULTILINE)
    return text[: block.start("lines")] + lines + text[block.end("lines") :]
