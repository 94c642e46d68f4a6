"""The last spans arrive: of recycled children, of a warm and of a cold shutdown; and nobody waits long for them."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.trace.conftest import PATIENCE
from tests.integration.trace.tree import events, root, task
from tests.integration.worker.harness import wait_until
from tests.services import free_port

if TYPE_CHECKING:
    from tests.integration.trace.conftest import Stage

pytestmark = [pytest.mark.xdist_group("trace-shutdown"), pytest.mark.timeout(240)]

FOREVER = "3600000"
"""Milliseconds that an exporter waits for its collector: nothing but our own bound ends that wait within the test."""


def test_recycled_children_and_a_cold_shutdown_send_what_they_have(stage: Stage) -> None:
    """With a process for each task all spans arrive, by the flush alone; a task cut off by SIGQUIT is told of too."""
    worker = stage.start(
        arguments=("--max-tasks-per-child=1",),
        environment={"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=mine,celery.worker.name=so-named"},
    )
    told = stage.publish("plain", "group", "parent")
    for what in ("plain", "parent"):
        stage.wait_done(told[what][1])
    stage.expect(told["plain"][0], root("plain", task("plain")))
    stage.expect(told["group"][0], root("group", task("plain"), task("plain")))
    stage.one(told["parent"][0], "run/t.plain")
    resource = stage.one(told["plain"][0], "run/t.plain").resource
    assert (resource["service.instance.id"], resource["celery.worker.name"]) == ("mine", "so-named")

    trace_id, _ = stage.publish("endless")["endless"]
    stage.one(trace_id, "inner")
    assert worker.stop(signal.SIGQUIT, PATIENCE) == 0
    stage.expect(trace_id, root("endless", task("endless", error=True)))
    span = stage.one(trace_id, "run/t.endless")
    assert events(span)[0][1] in {"Terminated", "WorkerLostError"}  # the latter on Celery 5.4
    assert "otel-celery: " not in worker.log.replace("otel-celery: metrics are off", "")


@pytest.mark.parametrize("collector", ["hanging", "absent"])
def test_a_collector_that_is_away_holds_up_nothing(stage: Stage, collector: str) -> None:
    """Six children are recycled and the worker is stopped while no span can be sent; the log says so once."""
    stage.receiver.hangs = True
    where = stage.receiver.url if collector == "hanging" else f"http://127.0.0.1:{free_port()}"
    worker = stage.start(
        concurrency=1,
        arguments=("--max-tasks-per-child=1",),
        environment={"OTEL_EXPORTER_OTLP_ENDPOINT": where, "OTEL_EXPORTER_OTLP_TIMEOUT": FOREVER},
    )
    for _ in range(6):
        stage.site.client.send_task("t.plain")
    wait_until(lambda: worker.log.count("succeeded in") == 6, "six tasks have run", PATIENCE)
    began = time.monotonic()
    assert worker.stop(seconds=PATIENCE) == 0
    assert time.monotonic() - began < 60
    said = [line for line in worker.log.splitlines() if "spans cannot be sent" in line or "could not be sent" in line]
    assert len(said) == 1, said
    assert "could not be sent" in said[0] or collector == "absent", said


def test_a_publisher_sends_its_spans_at_its_end_and_waits_no_longer_than_that(stage: Stage) -> None:
    """A script's own spans arrive without a word in it, a fork's as well; it ends though a collector hangs."""
    stage.run("tests.integration.trace.publisher", "--no-root", "plain", "fail")
    assert sorted(span.name for span in stage.receiver.spans()) == ["apply_async/t.fail", "apply_async/t.plain"]
    stage.receiver.clear()
    stage.run("tests.integration.trace.publisher", "--fork", "plain", "fail")
    assert sorted(span.name for span in stage.receiver.spans()) == ["apply_async/t.fail", "apply_async/t.plain"]
    stage.receiver.hangs = True
    began = time.monotonic()
    stage.run("tests.integration.trace.publisher", "--no-root", "plain", OTEL_EXPORTER_OTLP_TIMEOUT=FOREVER)
    assert time.monotonic() - began < 60
