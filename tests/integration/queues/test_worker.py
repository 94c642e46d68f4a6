"""A worker that is asked to shows the queues of its app too, over a connection of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.harness import wait_until
from tests.integration.worker.ways import HOOK

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site

QUEUES = {"OTEL_PYTHON_CELERY_QUEUES": "true", "OTEL_PYTHON_CELERY_QUEUES_INTERVAL": "1000"}


@pytest.mark.parametrize(
    "pool", [pytest.param(each, marks=getattr(pytest.mark, each)) for each in ("prefork", "gevent")]
)
def test_a_worker_shows_what_waits(site: Site, pool: str) -> None:
    """Its own queue is empty, nothing has failed, and it ends as ever."""
    worker = HOOK.start(site, pool, environment=QUEUES).wait_ready()
    own = next(iter(worker.scrape().labels("celery_worker_queue_info", "queue")))
    wait_until(lambda: worker.scrape().has("celery_queue_length", queue=own), "its queue is shown")
    scrape = worker.scrape()
    assert scrape.value("celery_queue_length", queue=own) == 0
    assert scrape.value("otel_celery_queue_refresh_failures_total") == 0
    assert scrape.has("otel_celery_internal_errors_total", where="queues")
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert "worker" not in {
        label for each in scrape.samples if each.name == "celery_queue_length" for label in each.labels
    }
    worker.process.terminate()
    assert worker.process.wait(30) == 0, worker.log
    assert "Traceback" not in worker.log


@pytest.mark.solo
def test_no_worker_asks_unless_told_to(site: Site) -> None:
    """Without the variable there is no thread, and no family of the queues."""
    worker = HOOK.start(site, "solo").wait_ready()
    assert not worker.scrape().has("otel_celery_queue_refresh_failures_total")
