"""The standard variables, in real workers: samplers, propagators, gRPC; and a handle that is given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.trace.conftest import PATIENCE
from tests.integration.trace.tree import root, task
from tests.integration.worker.harness import wait_until
from tests.integration.worker.ways import pools

if TYPE_CHECKING:
    from tests.integration.trace.conftest import Stage
    from tests.otlp import Receiver

pytestmark = [pytest.mark.xdist_group("trace-variables"), pytest.mark.timeout(240)]


def test_what_the_sampler_leaves_out_nobody_tells_of(stage: Stage) -> None:
    """A publisher that samples nothing is followed by children, by what they publish, and for a lost run."""
    worker = stage.start(environment={"OTEL_BSP_SCHEDULE_DELAY": "100"})
    left_out = stage.publish("plain", "parent", "kill", OTEL_TRACES_SAMPLER="always_off")
    told = stage.publish("plain", OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="1.0")
    for _, result in (*left_out.values(), *told.values()):
        stage.wait_done(result)
    stage.expect(told["plain"][0], root("plain", task("plain")))
    assert worker.stop(seconds=PATIENCE) == 0
    assert {span.data.trace_id.hex() for span in stage.receiver.spans()} == {told["plain"][0]}


def test_the_workers_own_sampler_decides_where_nobody_has(stage: Stage) -> None:
    """A message without a trace is sampled by the worker's variable, a lost run among them."""
    worker = stage.start(environment={"OTEL_TRACES_SAMPLER": "parentbased_always_off"})
    for name in ("t.plain", "t.kill"):
        stage.wait_done(stage.site.client.send_task(name).id)
    assert worker.stop(seconds=PATIENCE) == 0
    assert stage.receiver.spans() == []


def test_propagators_are_those_of_the_variable(stage: Stage) -> None:
    """Without the one for baggage the trace goes on, and the baggage does not."""
    variable = {"OTEL_PROPAGATORS": "tracecontext"}
    stage.start(environment={**variable, "OTEL_BSP_SCHEDULE_DELAY": "100"})
    trace_id, _ = stage.publish("baggage", **variable)["baggage"]
    stage.expect(trace_id, root("baggage", task("plain")))
    assert stage.one(trace_id, "inner").attributes["baggage.tenant"] == "None"


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_spans_leave_by_grpc(stage: Stage, grpc: Receiver, pool: str) -> None:
    """From children that are recycled after each task, from the main process, and from a publisher."""
    stage.receiver = grpc
    variable = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}
    arguments = ("--max-tasks-per-child=1",) if pool == "prefork" else ()
    worker = stage.start(pool=pool, arguments=arguments, environment=variable)
    told = stage.publish("plain", "fail", **variable)
    for _, result in told.values():
        stage.wait_done(result)
    assert worker.stop(seconds=PATIENCE) == 0
    stage.expect(told["plain"][0], root("plain", task("plain")))
    stage.expect(told["fail"][0], root("fail", task("fail", inner="", error=True)))


@pytest.mark.parametrize("pool", pools("gevent", "eventlet"))
def test_grpc_is_refused_on_greenlets(stage: Stage, pool: str) -> None:
    """One sentence says why and what to set; tasks run, without spans."""
    worker = stage.start(pool=pool, environment={"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    stage.wait_done(stage.site.client.send_task("t.plain").id)
    assert worker.stop(seconds=PATIENCE) == 0
    assert worker.log.count("no spans are made by worker w@localhost: gRPC would stop all its greenlets") == 1
    assert "set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf" in worker.log
    assert stage.receiver.attempts == 0


def test_after_uninstrument_new_children_make_no_spans(stage: Stage) -> None:
    """The child that was forked before tells of its one task; later ones do not take themselves for spawned."""
    worker = stage.start(
        concurrency=1,
        arguments=("--max-tasks-per-child=1",),
        environment={"T_LINE": "1", "T_UNINSTRUMENT": "1"},
        switch=("-I", "otel_celery.hook"),
    )
    for _ in range(3):
        stage.wait_done(stage.site.client.send_task("t.plain").id)
    wait_until(lambda: len(stage.receiver.spans("run/t.plain")) == 1, "the first child has told", PATIENCE)
    assert worker.stop(seconds=PATIENCE) == 0
    assert len(stage.receiver.spans("run/t.plain")) == 1
