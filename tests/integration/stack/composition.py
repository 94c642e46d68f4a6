"""The compose files as Compose itself reads them, and each service's command as it runs without a container."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integration.stack.servers import MONITORING, repointed
from tests.services import built

if TYPE_CHECKING:
    from collections.abc import Mapping

LINUX = "docker-compose.monitoring.yml"
DESKTOP = "docker-compose.desktop.yml"
PROFILES = ("redis", "postgres", "collector", "long-term")

PATH = re.compile(r"(?<![\w.:/-])/[\w./-]+")
"""An absolute path in an argument."""


@dataclass(frozen=True)
class Service:
    """One service, with everything that Compose makes of its file."""

    name: str
    values: Mapping[str, Any]

    @property
    def image(self) -> str:
        """Name the image."""
        return str(self.values["image"])

    @property
    def command(self) -> tuple[str, ...]:
        """List the arguments, the entry point's being the image's own."""
        return tuple(unescaped(argument) for argument in self.values.get("command") or ())

    @property
    def environment(self) -> dict[str, str]:
        """Give the environment."""
        return {name: unescaped(value or "") for name, value in self.values.get("environment", {}).items()}

    @property
    def mounts(self) -> tuple[dict[str, Any], ...]:
        """List binds and volumes: ``type``, ``source`` and ``target``."""
        return tuple(self.values.get("volumes", ()))

    @property
    def files(self) -> dict[str, Path]:
        """Give the host's path of what is bound at each path of the container."""
        return {mount["target"]: Path(mount["source"]) for mount in self.mounts if mount["type"] == "bind"}

    @property
    def check(self) -> tuple[str, ...]:
        """Give the health check's command."""
        return tuple(unescaped(word) for word in self.values.get("healthcheck", {}).get("test", ()))

    def arguments(self, copy: Path, ports: Mapping[int, int]) -> list[str]:
        """Give the command as it runs here: with paths into a copy of devops/monitoring, and with free ports."""
        return [repointed(PATH.sub(lambda path: self._here(path[0], copy), word), ports) for word in self.command]

    def settings(self, ports: Mapping[int, int]) -> dict[str, str]:
        """Give the environment as it is here: with free ports."""
        return {name: repointed(value, ports) for name, value in self.environment.items()}

    def _here(self, path: str, copy: Path) -> str:
        """Find what a container's path is here: a bind's source in the copy, or a directory for a volume."""
        for mount in sorted(self.mounts, key=lambda mount: -len(mount["target"])):
            if path == mount["target"] or path.startswith(f"{mount['target']}/"):
                rest = path.removeprefix(mount["target"]).lstrip("/")
                return str(_source(mount, copy) / rest)
        return path


def _source(mount: Mapping[str, Any], copy: Path) -> Path:
    """Find in the copy what is mounted."""
    if mount["type"] == "bind":
        return copy / Path(mount["source"]).relative_to(MONITORING)
    return volume(copy, mount["source"])


def volume(copy: Path, name: str) -> Path:
    """Give the directory that stands for a named volume."""
    directory = copy / "volumes" / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def unescaped(text: str) -> str:
    """Undo what Compose does to a dollar when it prints."""
    return text.replace("$$", "$")


def compose(*arguments: str, file: str = LINUX, environ: Mapping[str, str] | None = None) -> str:
    """Call Compose on one of the files, with no environment but what is given; return what it prints."""
    command = [built("docker-compose"), "-f", str(MONITORING / file), *arguments]
    clean = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "COMPOSE_DISABLE_ENV_FILE": "1"}
    clean |= environ or {}
    done = subprocess.run(command, env=clean, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@cache
def services(file: str = LINUX, environ: tuple[tuple[str, str], ...] = ()) -> dict[str, Service]:
    """Read a compose file with every profile."""
    profiles = [word for profile in PROFILES for word in ("--profile", profile)]
    read = json.loads(compose(*profiles, "config", "--format", "json", file=file, environ=dict(environ)))
    return {name: Service(name, values) for name, values in read["services"].items()}
