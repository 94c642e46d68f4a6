"""The examples of docs/frameworks: their pages' commands, run as they stand, on ports that are free."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.pools.fleet import FOREIGN, Fleet
from tests.integration.stack.markdown import commands
from tests.integration.stack.servers import FreePorts, repointed
from tests.integration.worker.harness import ROOT, Scrape, wait_until
from tests.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping

FRAMEWORKS = ROOT / "docs" / "frameworks"
BIN = Path(sys.executable).parent


@dataclass
class Example:
    """A directory with an app, and mostly a page, with a broker and free ports for it."""

    directory: Path
    broker: str
    output: Path

    def __post_init__(self) -> None:
        """Choose a port for each documented one when it is first met."""
        self.ports = FreePorts()

    @cached_property
    def commands(self) -> list[str]:
        """List the page's commands, with their ports."""
        return [repointed(line, self.ports) for line in commands((self.directory / "README.md").read_text())]

    def command(self, part: str) -> str:
        """Give the one command that has this in it."""
        (found,) = (line for line in self.commands if part in line)
        return found

    @property
    def environ(self) -> Mapping[str, str]:
        """Add to the environment what a user's shell has: this Python's programs, this checkout, a broker."""
        return {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CELERY_BROKER_URL": self.broker,
        }

    def start(self, command: str, **environ: str) -> Fleet:
        """Start a command that goes on."""
        output = self.output / f"{len(list(self.output.glob('*.out')))}.out"
        return Fleet(["bash", "-c", f"exec env {command}"], output, {**self.environ, **environ}, self.directory)

    def run(self, command: str, **environ: str) -> str:
        """Run a command that ends; give what it said."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        answer = subprocess.run(
            ["bash", "-c", command], cwd=self.directory, env={**inherited, **self.environ, **environ},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert answer.returncode == 0, f"{command}: {answer.returncode}\n{answer.stdout}{answer.stderr}"
        return answer.stdout

    def scrape(self, documented: int = 9101) -> Scrape:
        """Read the port that stands for a documented one."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.ports[documented]}/metrics", timeout=10) as answer:
            return Scrape(answer.read().decode())

    def wait_for_success(self, task_name: str, documented: int = 9101) -> Scrape:
        """Wait until the port has one success of a task."""

        def counted() -> Scrape | None:
            scrape = self.scrape(documented)
            return scrape if scrape.ends(task_name) else None

        scrape = wait_until(counted, f"{task_name} has ended")
        assert isinstance(scrape, Scrape)
        assert scrape.ends(task_name) == {"success": 1}
        assert scrape.value("celery_worker_up") == 1
        return scrape
