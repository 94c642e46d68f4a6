"""The operators' guide, taken apart, and the bench on which its commands are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from celery import Celery

from tests.pools.fleet import Fleet
from tests.services import built
from tests.stack import machinery
from tests.stack.servers import MONITORING, ROOT, Server, repointed_line
from tests.stack.tempo import hasten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack.machinery import Site

GUIDE = (MONITORING / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """List the fenced blocks in a language, without the indentation of the list that they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", GUIDE, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


COMMANDS = [line[2:] for block in blocks("console") for line in block.splitlines()]
EXPRESSIONS = [text.strip() for block in blocks("promql") for text in block.split("\n\n")]
WORKER = next(line for line in COMMANDS if "celery -A proj" in line)
"""The line that starts a worker."""


@dataclass
class Bench:
    """A copy of devops/monitoring, the Prometheus that compose starts on it, and the pool trading at work."""

    site: Site
    prometheus: Server
    fleet: Fleet
    client: Celery

    def run(self, command: str) -> str:
        """Run a command as it stands, in the copy, with free ports for the documented ones; return what it said."""
        line = repointed_line(command, self.site.ports)
        if line.startswith("docker compose"):
            line = line.replace("docker compose", built("docker-compose"), 1).replace(" up -d", " config -q")
        directories = (Path(sys.executable).parent, Path(built("promtool")).parent)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PROMETHEUS_"))}
        environ["PATH"] = ":".join([*map(str, directories), environ["PATH"]])
        environ["OTEL_PYTHON_CELERY_POOL_TRADING_PORT"] = str(self.site.ports[9101])
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.site.copy, env=environ, input="secret\nsecret\n", capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout + done.stderr

    def work(self) -> None:
        """Have the pool run a few tasks."""
        for name in ("orders.place", "orders.cancel"):
            self.client.send_task(name, queue="trading", ignore_result=True)


@contextmanager
def open_bench(redis_url: str, output: Path) -> Iterator[Bench]:
    """Start the worker by the guide's own line, and Prometheus by compose's, scraping each second."""
    with ExitStack() as stack:
        site = stack.enter_context(machinery.site())
        line = repointed_line(f"{WORKER} -c 8", site.ports).replace("-A proj", "-A otel_celery.demo.app")
        environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "CELERY_BROKER_URL": redis_url}
        fleet = stack.enter_context(Fleet(["bash", "-c", f"exec env {line}"], output, environ, ROOT))
        hasten(site.copy)
        prometheus = stack.enter_context(site.prometheus())
        client = stack.enter_context(Celery(broker=redis_url))
        fleet.wait_for(r"trading@localhost ready\.", seconds=60)
        yield Bench(site, prometheus, fleet, client)
