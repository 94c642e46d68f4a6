"""A worker without the library beside one with it: how each ends, and how long it takes."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.integration.worker.harness import wait_until
from tests.integration.worker.ways import HOOK, NONE, OFF

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

LOOP = 2.5
"""How far apart two workers may be that end cold: each hears of it when its loop next turns, once a second."""

OTHER_COLD: dict[str, tuple[signal.Signals, dict[str, Any]]] = {
    "remap": (signal.SIGTERM, {"environment": {"REMAP_SIGTERM": "SIGQUIT"}}),
    "soft-shutdown": (signal.SIGQUIT, {"app": "tests.integration.worker.proj_soft"}),
}
"""Cold shutdowns that a setting makes of a signal."""


class Ending(NamedTuple):
    """How a worker ended."""

    status: int | None
    seconds: float


def end(workers: list[Worker], *signals: signal.Signals, seconds: float = 20) -> list[Ending]:
    """Send signals to workers at the same time, and wait for each."""
    began = time.monotonic()
    for number, how in enumerate(signals):
        for worker in workers:
            worker.process.send_signal(how)
        time.sleep(1.5 if number + 1 < len(signals) else 0)  # an idle loop looks once a second what it was told
    ends: dict[str, Ending] = {}
    while len(ends) < len(workers) and time.monotonic() < began + seconds:
        for worker in workers:
            if worker.name not in ends and worker.process.poll() is not None:
                ends[worker.name] = Ending(worker.process.returncode, time.monotonic() - began)
        time.sleep(0.01)
    return [ends.get(worker.name, Ending(None, seconds)) for worker in workers]


def side_by_side(site: Site, pool: str, task: str, seconds: float, **options: Any) -> list[Worker]:
    """Start a worker without the library and one with it, each with a task that runs since the same moment."""
    environment = options.pop("environment", {})
    workers = [
        NONE.start(site, pool, name="bare", arguments=("-Q", "bare"), environment={**OFF, **environment}, **options),
        HOOK.start(site, pool, name="w", arguments=("-Q", "w"), environment=environment, **options),
    ]
    for worker in workers:
        wait_until(lambda worker=worker: is_ready(worker), "the worker is ready")  # type: ignore[misc]
    for worker in workers:
        site.client.send_task(f"proj.{task}", kwargs={"seconds": seconds}, queue=worker.name)
    for worker in workers:
        wait_until(lambda worker=worker: worker.record()[f"began {task}"], "the task runs")  # type: ignore[misc]
    time.sleep(0.3)
    return workers


def is_ready(worker: Worker) -> bool:
    """Tell by the log whether a worker is ready: it may have no port."""
    assert worker.process.poll() is None, worker.log
    return f"{worker.name}@localhost ready." in worker.log
