"""systemd's files, read as systemd reads them: as much of its grammar as the unit uses."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEMD = Path(__file__).parents[3] / "devops" / "systemd"
UNIT = SYSTEMD / "celery-pool@.service"
CELERY = "/srv/proj/.venv/bin/celery"
"""Where the unit expects Celery."""


def values(key: str) -> list[str]:
    """List the values that the unit gives to a key, in order; a backslash at a line's end goes on in the next."""
    lines = re.sub(r"\\\n\s*", " ", UNIT.read_text()).splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def environment(instance: str) -> dict[str, str]:
    """Read the environment of an instance: the unit's own values, and its files, which win as in systemd."""
    found = assignments("\n".join(values("Environment")))
    for file in values("EnvironmentFile"):
        found |= assignments((SYSTEMD / "pools" / Path(file.replace("%i", instance)).name).read_text())
    return found


def assignments(text: str) -> dict[str, str]:
    """Parse an environment file whose values have no quotes and are not continued."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def command(instance: str, environ: Mapping[str, str]) -> list[str]:
    """Expand ExecStart: specifiers first, then ``${NAME}`` within a word, and ``$NAME`` as words of its own."""
    (line,) = values("ExecStart")
    words: list[str] = []
    for word in shlex.split(re.sub(r"%(.)", lambda match: {"i": instance, "%": "%"}[match[1]], line)):
        if re.fullmatch(r"\$\w+", word):
            words += environ.get(word[1:], "").split()
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda match: environ.get(match[1], ""), word))
    return words
