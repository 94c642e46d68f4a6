"""One worker on the prefork pool, one process that publishes: each way to call and to end a task is one whole trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.trace.conftest import PATIENCE, Stage, open_stage
from tests.integration.trace.tree import events, root, task
from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.worker.harness import Worker

pytestmark = [pytest.mark.prefork, pytest.mark.xdist_group("trace-prefork"), pytest.mark.timeout(300)]

ERRBACK = task("errback", inner="errback-inner")
LAST = task("plain", task("kill", ERRBACK, error=True))
RETRIED = task("retry", task("retry", LAST, inner=""), inner="")
CALLED = {
    "plain": task("plain"),
    "walk": task("plain", task("plain"), RETRIED),  # the group's last task publishes the chord's body
    "group": [task("plain"), task("plain")],
    "chord": [task("plain"), task("plain", task("plain"))],
    "eta": task("plain"),
    "baggage": task("plain"),
    "parent": ["apply_async/t.parent", ["run/t.parent", ["inner", task("plain")]]],
    "retry": task("retry", task("retry", inner=""), inner=""),
    "replace": task("replace", task("plain"), inner=""),
    "fail": task("fail", inner="", error=True),
    "fail+errback": task("fail", ERRBACK, inner="", error=True),
    "soft": task("soft", inner="", error=True),
}
"""What ends as Celery knows it: contrib sees it all, but for the end of the walk, which leads through everything."""
LOST = {
    "kill": ("WorkerLostError", "FAILURE"),
    "kill+errback": ("WorkerLostError", "FAILURE"),
    "exit": ("SystemExit", "FAILURE"),
    "hard": ("TimeLimitExceeded", "FAILURE"),
    "hard+errback": ("TimeLimitExceeded", "FAILURE"),
    "endless": ("Terminated", "REVOKED"),
}
"""What a child does not live to tell: the exception and the state that the main process tells of."""


@pytest.fixture(scope="module")
def played(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, dict[str, str], Worker]]:
    """Play all scenarios on one worker, whose metrics are on as well."""
    with open_stage(redis_url, tmp_path_factory.mktemp("prefork")) as stage:
        worker = stage.start(
            concurrency=3,
            environment={"OTEL_BSP_SCHEDULE_DELAY": "300", "PROMETHEUS_ENABLED": "true", "OTEL_SERVICE_NAME": "shop"},
        )
        told = stage.publish(*CALLED, *LOST)
        trace_id, result = told["endless"]
        wait_until(lambda: stage.named(trace_id, "inner"), "the endless task runs", PATIENCE)
        stage.site.client.control.revoke(result, terminate=True)
        yield stage, {name: trace_id for name, (trace_id, _) in told.items()}, worker


@pytest.mark.parametrize("what", CALLED)
def test_each_way_to_call_a_task_is_one_trace(played: Any, what: str) -> None:
    """From the publisher to the last task, however that came to be called, everything hangs together."""
    stage, told, _ = played
    wanted = CALLED[what]
    below = [wanted] if isinstance(wanted[0], str) else wanted
    stage.expect(told[what], root(what, *below))


@pytest.mark.parametrize("what", LOST)
def test_a_run_that_no_child_lives_to_tell_of_is_told_once(played: Any, what: str) -> None:
    """The main process tells of it as an error; spans inside and errbacks stay connected, and no false span is left."""
    stage, told, _ = played
    name, _, errback = what.partition("+")
    times = 2 if name == "hard" else 1  # Celery calls the errbacks of a hard limit in on_failure and in on_timeout
    stage.expect(told[what], root(what, task(name, *([ERRBACK] * times if errback else []), error=True)))
    span = stage.one(told[what], f"run/t.{name}")
    error, state = LOST[what]
    ((event, found),) = events(span)
    assert (event, found) in {("exception", error), ("exception", "WorkerLostError")}  # pipe and process race
    assert span.attributes["celery.state"] == state
    assert span.attributes["celery.task_name"] == f"t.{name}"
    assert span.data.kind == 5  # CONSUMER
    inner = stage.one(told[what], "inner")
    assert span.data.start_time_unix_nano < inner.data.start_time_unix_nano < span.data.end_time_unix_nano


def test_baggage_reaches_the_task(played: Any) -> None:
    """What the publisher put into its baggage is there in the task."""
    stage, told, _ = played
    assert stage.one(told["baggage"], "inner").attributes["baggage.tenant"] == "blue"
    assert stage.named(told["plain"], "inner")[0].attributes["baggage.tenant"] == "None"


def test_the_resource_names_service_and_worker(played: Any) -> None:
    """The worker's name is in the resource, each process has an instance of its own, and the environment wins."""
    stage, told, _ = played
    killed = stage.one(told["kill"], "run/t.kill").resource
    inside = stage.one(told["kill"], "inner").resource
    publisher = stage.one(told["kill"], "root kill").resource
    assert killed["service.name"] == inside["service.name"] == "shop"
    assert killed["celery.worker.name"] == inside["celery.worker.name"] == "w@localhost"
    assert killed["celery.pool.name"] == "w"
    assert killed["service.instance.id"] != inside["service.instance.id"]
    assert publisher["service.name"] == "proj"
    assert "celery.worker.name" not in publisher


def test_there_is_one_set_of_metrics_and_no_error_of_ours(played: Any) -> None:
    """Contrib's own metric is not made, nothing was kept from the worker, and it ends as ever."""
    stage, told, worker = played
    for what, (name, _, _) in ((what, what.partition("+")) for what in LOST):
        stage.one(told[what], f"run/t.{name}")
    scrape = worker.settled(PATIENCE)
    assert "flower" not in scrape.text
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert scrape.balances(), scrape.books()
    assert worker.stop(seconds=PATIENCE) == 0
    assert "otel-celery: " not in worker.log
