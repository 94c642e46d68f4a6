"""Spans on the other pools, and on prefork with spawned children; a flush alone sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import celery
import pytest

from tests.integration.trace.conftest import PATIENCE
from tests.integration.trace.tree import events, root, task
from tests.integration.worker.ways import pools

if TYPE_CHECKING:
    from tests.integration.trace.conftest import Stage

pytestmark = [pytest.mark.xdist_group("trace-pools"), pytest.mark.timeout(240)]

SPAWNS = tuple(int(part) for part in celery.__version__.split(".")[:2]) >= (5, 7)


@pytest.mark.parametrize("pool", pools("threads", "solo", "gevent", "eventlet"))
def test_a_pool_in_one_process_makes_the_same_traces(stage: Stage, pool: str) -> None:
    """Tasks, tasks from tasks and failures are connected, and a warm shutdown sends them."""
    worker = stage.start(pool=pool)
    told = stage.publish("plain", "parent", "fail", *(["hard"] if pool == "gevent" else []))
    for _, result in told.values():
        stage.wait_done(result)
    assert worker.stop(seconds=PATIENCE) == 0
    stage.expect(told["plain"][0], root("plain", task("plain")))
    stage.expect(told["fail"][0], root("fail", task("fail", inner="", error=True)))
    stage.one(told["parent"][0], "run/t.parent")
    if pool == "gevent":  # gevent alone has hard limits without processes
        stage.expect(told["hard"][0], root("hard", task("hard", error=True)))
        assert len(events(stage.one(told["hard"][0], "run/t.hard"))) == 1
    resource = stage.one(told["plain"][0], "run/t.plain").resource
    assert (resource["celery.worker.name"], resource["celery.pool.name"]) == ("w@localhost", "w")
    assert "otel-celery: " not in worker.log.replace("otel-celery: metrics are off", "")


@pytest.mark.skipif(not SPAWNS, reason="Celery's own setting, from 5.7 on")
@pytest.mark.parametrize("line", ["", "1"], ids=["hook", "line"])
def test_spawned_children_make_the_same_traces(stage: Stage, line: str) -> None:
    """Children that inherit nothing make their spans, send them, and leave the lost ones to the main process."""
    switch = () if line else ("-I", "otel_celery.hook")
    worker = stage.start(environment={"T_START_METHOD": "spawn", "T_LINE": line}, switch=switch)
    told = stage.publish("plain", "parent", "kill")
    for _, result in told.values():
        stage.wait_done(result)
    assert worker.stop(seconds=PATIENCE) == 0
    stage.expect(told["kill"][0], root("kill", task("kill", error=True)))
    stage.expect(told["plain"][0], root("plain", task("plain")))
    stage.one(told["parent"][0], "run/t.parent")
    assert stage.one(told["plain"][0], "run/t.plain").resource["celery.worker.name"] == "w@localhost"
