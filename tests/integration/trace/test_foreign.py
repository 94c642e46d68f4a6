"""Where somebody else has instrumented Celery already there is one instrumentation, and all its spans arrive."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.integration.trace.conftest import PATIENCE, with_patience
from tests.integration.worker.harness import wait_until
from tests.integration.worker.ways import AUTO

if TYPE_CHECKING:
    from tests.integration.trace.conftest import Stage
    from tests.integration.worker.harness import Worker

pytestmark = [pytest.mark.xdist_group("trace-foreign"), pytest.mark.timeout(240)]

TASKS = 30


def play(stage: Stage, worker: Worker) -> Counter[str]:
    """Run tasks, end the worker, and count the spans by name."""
    for _ in range(TASKS):
        stage.site.client.send_task("t.plain")
    wait_until(lambda: worker.log.count("succeeded in") == TASKS, "the tasks have run", PATIENCE)
    assert worker.stop(seconds=PATIENCE) == 0
    return Counter(span.name for span in stage.receiver.spans())


@pytest.mark.parametrize("provider", ["its-own", "none"])
def test_opentelemetry_instrument_on_prefork_lacks_nothing_but_a_flush(stage: Stage, provider: str) -> None:
    """Its batches would end with the children, unsent; with our flush 30 of 30 spans arrive, each once.

    Where it instruments Celery, and has no distribution to set a provider, ours is the provider.
    """
    environment = {"T_OWN": "provider"} if provider == "its-own" else {}
    worker = stage.start(launcher=AUTO, switch=(), environment=environment)
    assert play(stage, worker) == {"run/t.plain": TASKS, "inner": TASKS}
    expected = "its-own" if provider == "its-own" else "proj"
    assert {span.resource["service.name"] for span in stage.receiver.spans()} == {expected}


@pytest.mark.parametrize("where", ["child", "import", "provider", "logfire"])
def test_an_applications_own_instrumentation_is_the_only_one(stage: Stage, where: str) -> None:
    """In each child, at import, by logfire, or with a provider alone: each run has one span, by that one."""
    worker = stage.start(environment={"T_OWN": where})
    assert play(stage, worker) == {"run/t.plain": TASKS, "inner": TASKS}
    assert {span.resource["service.name"] for span in stage.receiver.spans()} == {"its-own"}
    assert "already instrumented" not in worker.log
    assert "Overriding of current" not in worker.log


def test_both_ways_of_ours_are_one_instrumentation(stage: Stage) -> None:
    """The line in the app and the hook together: one span a run."""
    worker = stage.start(environment={"T_LINE": "1"})
    assert play(stage, worker) == {"run/t.plain": TASKS, "inner": TASKS}


def test_log_records_carry_the_ids_of_the_run(stage: Stage) -> None:
    """With the standard variable the task log names trace and span, those that the receiver has."""
    worker = stage.start(environment={"OTEL_PYTHON_LOG_CORRELATION": "true"})
    trace_id, result = stage.publish("plain")["plain"]
    stage.wait_done(result)
    with_patience(lambda: "inside" in worker.log)
    assert worker.stop(seconds=PATIENCE) == 0
    span_id = stage.one(trace_id, "inner").data.span_id.hex()
    assert re.search(rf"t\.plain\[{result}\]: trace_id={trace_id} span_id={span_id} inside {trace_id}", worker.log)
    assert "Logging error" not in worker.log


def test_an_exporter_that_is_not_installed_costs_the_traces_alone(stage: Stage) -> None:
    """One sentence names what is missing; the worker runs its tasks."""
    worker = stage.start(environment={"OTEL_TRACES_EXPORTER": "jaegr"})
    stage.site.client.send_task("t.plain")
    wait_until(lambda: worker.log.count("succeeded in") == 1, "the task has run", PATIENCE)
    assert worker.stop(seconds=PATIENCE) == 0
    (line,) = [line for line in worker.log.splitlines() if "jaegr" in line]
    assert "ERROR/MainProcess] otel-celery: OTEL_TRACES_EXPORTER names 'jaegr', which no installed package" in line
    assert line.endswith("; traces are off")
    assert not stage.receiver.spans()
