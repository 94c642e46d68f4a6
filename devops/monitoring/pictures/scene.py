"""The demo at work, with an incident, and a Prometheus that scrapes it as the committed configuration says."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devops.monitoring.pictures import terminal
from otel_celery import instrument
from otel_celery.demo.app import app
from tests.integration.pools.fleet import Fleet, otel_celery
from tests.integration.stack.compose_services import Site
from tests.integration.stack.intervals import READ_BY_PROMETHEUS, hastened
from tests.integration.stack.servers import FreePorts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.integration.stack.servers import Server

EVERY = 5
"""Seconds between two scrapes: at the committed 15 a line of a few minutes would have a dozen points."""

WARMING = 60
"""Seconds of the demo that are not shown: five workers start on one machine at once."""

WELL = 100
"""Seconds that are shown before the incident."""

EDGE = 30
"""The second at which the time shown ends: the axis has a label at each full minute, and none that the edge cuts."""

PORTS = range(9101, 9106)
"""The demo's own: they have to be free."""

STOPPED = "market"
"""The pool whose worker stops answering, as one does that is traced, or on a host that stalls (state T)."""

MISTYPED, MESSAGES = "tradnig", 20
"""A queue that nobody consumes, and how many messages somebody sends to it."""

EXPORTERS = ("redis-exporter", "postgres-exporter")
"""They and their servers are there, so that no alert fires about them."""


@dataclass(frozen=True)
class Scene:
    """What there is to draw."""

    well: str
    trouble: str
    """The live view before the incident and after it, as SVG."""
    doctor: str
    """What the doctor says after it, as SVG."""
    prometheus: Server
    start: int
    end: int
    """The time that the panels show, in whole seconds: so the times of answers are those that were asked for."""


@contextmanager
def played(seconds: int) -> Iterator[Scene]:
    """Run the demo until it has worked for so many seconds after its start; Prometheus answers within the ``with``."""
    with tempfile.TemporaryDirectory(prefix="otel-celery-pictures-") as name, ExitStack() as stack:
        Path(name).chmod(0o755)  # PostgreSQL's user has to come through
        site = Site(Path(name), FreePorts(zip(PORTS, PORTS, strict=True)))
        for file in (site.copy / read for read in READ_BY_PROMETHEUS):
            file.write_text(hastened(file.read_text(), f"{EVERY}s"))
        broker = stack.enter_context(site.redis())
        stack.enter_context(site.postgres())
        for exporter in EXPORTERS:
            stack.enter_context(site.service(exporter))
        stack.enter_context(site.queue_exporter(broker, MISTYPED))
        command = otel_celery("demo", "--broker", broker)
        demo = stack.enter_context(Fleet(command, site.directory / "demo.out", {"TMPDIR": name}))
        prometheus = stack.enter_context(site.prometheus())
        prometheus.wait_for(f"sum(celery_worker_up) == {len(PORTS)}", "all pools of the demo are up")
        time.sleep(WARMING + WELL - terminal.WATCHED)
        addresses = [f"localhost:{port}" for port in (*PORTS, site.ports[9106])]
        well, trouble = terminal.drawn(addresses, lambda: _go_wrong(demo, broker))
        doctor = terminal.sentences(examined(addresses, broker))
        time.sleep(seconds - WELL - terminal.TROUBLED)
        time.sleep((EDGE - time.time()) % 60)
        end = int(time.time())
        yield Scene(well, trouble, doctor, prometheus, end - seconds, end)


def examined(addresses: Sequence[str], broker: str) -> str:
    """Ask the doctor."""
    command = otel_celery("doctor", "-b", broker, *addresses)
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603  our own words


def _go_wrong(demo: Fleet, broker: str) -> None:
    """Stop a worker's main process, and send messages to a queue that nobody consumes."""
    os.kill(_main_process(demo, f"{STOPPED}@localhost"), signal.SIGSTOP)
    instrument(app)
    app.conf.broker_url = broker
    for _ in range(MESSAGES):
        app.send_task("orders.place", queue=MISTYPED)
    app.close()


def _main_process(demo: Fleet, worker: str) -> int:
    """Find a worker's main process: the parent of its children."""
    named = {pid: _parent(pid) for pid in demo.alive() if worker in _command(pid)}
    (pid,) = (pid for pid, parent in named.items() if parent not in named)
    return pid


def _command(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
