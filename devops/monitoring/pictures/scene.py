"""The demo at work, and a Prometheus that scrapes it as the committed configuration says."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.pools.fleet import Fleet, otel_celery
from tests.integration.stack.compose_services import Site
from tests.integration.stack.intervals import READ_BY_PROMETHEUS, hastened
from tests.integration.stack.servers import FreePorts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stack.servers import Server

EVERY = 5
"""Seconds between two scrapes: at the committed 15 a line of a few minutes would have a dozen points."""

WARMING = 60
"""Seconds of the demo that are not shown: five workers start on one machine at once."""

EDGE = 30
"""The second at which the time shown ends: the axis has a label at each full minute, and none that the edge cuts."""

PORTS = range(9101, 9106)
"""The demo's own, which its table shows: they have to be free."""

TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80"}
"""Has Rich write to a file as it would to a terminal."""


@dataclass(frozen=True)
class Scene:
    """What there is to draw."""

    screen: str
    """All that the demo has written."""
    prometheus: Server
    start: int
    end: int
    """The time that the panels show, in whole seconds: so the times of answers are those that were asked for."""


@contextmanager
def played(seconds: int) -> Iterator[Scene]:
    """Run the demo until it has worked for so many seconds after its start; Prometheus answers within the ``with``."""
    with tempfile.TemporaryDirectory(prefix="otel-celery-pictures-") as name:
        site = Site(Path(name), FreePorts(zip(PORTS, PORTS, strict=True)))
        for file in (site.copy / read for read in READ_BY_PROMETHEUS):
            file.write_text(hastened(file.read_text(), f"{EVERY}s"))
        output = site.directory / "demo.out"
        with Fleet(otel_celery("demo"), output, {**TERMINAL, "TMPDIR": name}) as demo, site.prometheus() as prometheus:
            prometheus.wait_for(f"sum(celery_worker_up) == {len(PORTS)}", "all pools of the demo are up")
            time.sleep(WARMING + seconds)
            time.sleep((EDGE - time.time()) % 60)
            end = int(time.time())
            yield Scene(demo.said(), prometheus, end - seconds, end)
            demo.process.terminate()
            demo.end()
