"""What real processes publish, and how long it waited: on the worker's port, and pushed by a script."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.harness import ROOT, start_worker, wait_until
from tests.integration.worker.proj_publishes import EXPECTED
from tests.otlp import http_receiver

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.worker.conftest import Site

MODULE = "tests.integration.worker.proj_publishes"


def script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the module as a script, in an environment without our variables but these."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PROMETHEUS_"))}
    run = subprocess.run(
        [sys.executable, "-m", MODULE, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        timeout=90,
    )
    assert run.returncode == 0, run.stderr
    return run


@pytest.mark.parametrize(
    ("pool", "method"),
    [
        pytest.param("prefork", "fork", marks=pytest.mark.prefork),
        pytest.param("prefork", "spawn", marks=pytest.mark.prefork),
        *(
            pytest.param(pool, None, marks=getattr(pytest.mark, pool))
            for pool in ("threads", "solo", "gevent", "eventlet")
        ),
    ],
)
def test_what_a_worker_publishes_is_on_its_port(site: Site, tmp_path: Path, pool: str, method: str | None) -> None:
    """Every way of publishing has the header and is counted, with the worker; each message waited, none was skewed.

    The worker is switched on by the hook, so that its module knows nothing of us; the script by its line.
    """
    brokers = {"T_BROKER": site.broker, "T_BACKEND": site.broker}
    environment = {**brokers, "T_HOOK": "1", **({} if method is None else {"T_START_METHOD": method})}
    worker = start_worker(tmp_path, pool=pool, environment=environment, app=MODULE, concurrency=1)
    try:
        worker.wait_ready()
        script(**brokers)
        wait_until(lambda: worker.scrape().value("celery_tasks_total") == 1 + sum(EXPECTED.values()), "all have run")

        def published() -> dict[str, int]:
            scrape = worker.scrape()
            labels = {"worker": "w@localhost", "queue": "celery"}
            return {
                name: int(scrape.value("celery_task_published_total", task_name=name, **labels)) for name in EXPECTED
            }

        wait_until(lambda: published() == EXPECTED, f"what is published is {EXPECTED}")
        scrape = worker.scrape()
        assert scrape.value("celery_task_published_total") == sum(EXPECTED.values())
        assert scrape.value("celery_task_publish_duration_seconds_count") == sum(EXPECTED.values())
        assert scrape.value("celery_task_queue_wait_seconds_count") == scrape.value("celery_task_started_total")
        assert scrape.value("celery_task_queue_wait_seconds_sum", task_name="p.again") < 30
        assert scrape.value("otel_celery_clock_skew_total") == 0
        assert scrape.value("otel_celery_internal_errors_total") == 0
    finally:
        worker.stop()


def test_a_script_pushes_what_it_published_and_a_fork_of_it_too(site: Site) -> None:
    """By the standard variables, at its end; each process once, and no port is opened though one is asked for."""
    with http_receiver() as receiver:
        run = script(
            "--fork",
            "--fail",
            T_BROKER=site.broker,
            T_BACKEND=site.broker,
            PROMETHEUS_ENABLED="true",
            OTEL_METRICS_EXPORTER="otlp,prometheus",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        )
        points = receiver.points("celery.task.published")
        assert sorted(point.value for point in points) == [1, 2], run.stderr
        failures = receiver.points("celery.task.publish.failures")
        assert failures, run.stderr
        assert {point.attributes["exception"] for point in failures} == set(run.stdout.split())
        assert "Prometheus metrics server" not in run.stderr
