"""The bench on which the commands of the operators' guide and of the runbook are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from celery import Celery

from tests.integration.pools.fleet import Fleet
from tests.integration.stack import compose_services
from tests.integration.stack.intervals import hasten
from tests.integration.stack.markdown import COMMANDS
from tests.integration.stack.servers import Server, repointed
from tests.services import built

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stack.compose_services import Site

WORKER = next(line for line in COMMANDS if "celery -A proj" in line)
"""The line that starts a worker."""

ENGINE = re.compile(r" (?:up -d|down|ps|(?:restart|exec)( [\w-]+).*)$")
"""What Compose would ask Docker for, and of which service; here it reads its file, and finds the service there."""

APP = """\
from otel_celery.demo.app import app

app.conf.worker_enable_remote_control = True
"""
"""The pages' proj: the demo's app, which answers `celery inspect` besides."""

SERVED = ("alertmanager", "redis-exporter", "postgres-exporter")


@dataclass
class Bench:
    """A copy of devops/monitoring, what compose starts on it, and the pool trading at work."""

    site: Site
    prometheus: Server
    alertmanager: Server
    fleet: Fleet
    client: Celery
    broker: str

    def run(self, command: str, status: int = 0) -> str:
        """Run a command as it stands, in the copy, with free ports for the documented ones; return what it said."""
        line = repointed(command, self.site.ports)
        if line.startswith("docker compose"):
            line = ENGINE.sub(lambda match: f" config -q{match[1] or ''}", line)
            line = line.replace("docker compose", built("docker-compose"), 1)
        directories = (Path(sys.executable).parent, Path(built("promtool")).parent)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PROMETHEUS_"))}
        environ["PATH"] = ":".join([*map(str, directories), environ["PATH"]])
        environ["OTEL_PYTHON_CELERY_POOL_TRADING_PORT"] = str(self.site.ports[9101])
        environ["CELERY_BROKER_URL"] = self.broker
        line = line.replace("<task id>", str(uuid4())).replace("<main process>", str(self.fleet.process.pid))
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.site.copy, env=environ, input="secret\nsecret\n", capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == status, f"{line}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout + done.stderr

    def work(self) -> None:
        """Have the pool run a few tasks."""
        for name in ("orders.place", "orders.cancel"):
            self.client.send_task(name, queue="trading", ignore_result=True)


@contextmanager
def open_bench(output: Path) -> Iterator[Bench]:
    """Start the worker by the guide's own line, and the rest by compose's, scraping every other second."""
    with ExitStack() as stack:
        site = stack.enter_context(compose_services.site())
        hasten(site.copy)
        (site.copy / "proj.py").write_text(APP)
        (site.copy / "celery.log").symlink_to(output)
        broker = stack.enter_context(site.redis())
        line = repointed(f"{WORKER} -c 8", site.ports)
        environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "CELERY_BROKER_URL": broker}
        fleet = stack.enter_context(Fleet(["bash", "-c", f"exec env {line}"], output, environ, site.copy))
        stack.enter_context(site.queue_exporter(broker))
        alertmanager, *_ = [stack.enter_context(site.service(name)) for name in SERVED]
        prometheus = stack.enter_context(site.prometheus())
        client = stack.enter_context(Celery(broker=broker))
        fleet.wait_for(r"trading@localhost ready\.", seconds=60)
        go_wrong(client)
        fleet.wait_for(r"Task orders\.place\[.*raised")
        yield Bench(site, prometheus, alertmanager, fleet, client, broker)


def go_wrong(client: Celery) -> None:
    """Have a task raise, and send another one into the runbook's misspelt queue, where nobody looks for it."""
    client.send_task("orders.place", ("what it does not take",), queue="trading", ignore_result=True)
    client.send_task("orders.cancel", queue="tradign", ignore_result=True)
