"""What the tests of push share: the environment of a worker that pushes, and what its log may say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker
    from tests.otlp import Receiver

FAILING = "metrics cannot be pushed"
AGAIN = "metrics are pushed to .* again"


def pushing(receiver: Receiver, **more: str) -> dict[str, str]:
    """Push by OTLP besides the port; unless ``more`` says else so seldom that only the worker's end does."""
    return {
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_METRIC_EXPORT_INTERVAL": "600000",
        **more,
    }


def play(site: Site, worker: Worker, succeed: int = 5, fail: int = 2) -> None:
    """Run tasks until the worker has nothing more to do."""
    for _ in range(succeed):
        site.client.send_task("proj.succeed")
    for _ in range(fail):
        site.client.send_task("proj.fail")
    worker.settled()


def assert_pushed(receiver: Receiver, succeed: int = 5, fail: int = 2) -> None:
    """See that the newest values that were pushed are exact, histograms included."""
    both = succeed + fail
    assert receiver.latest("celery.task.received") == both
    assert receiver.latest("celery.tasks", task_name="proj.succeed", status="success") == succeed
    assert receiver.latest("celery.tasks", task_name="proj.fail", status="failure") == fail
    assert receiver.latest("celery.tasks") == both
    assert receiver.latest("celery.task.runtime") == succeed
    assert receiver.latest("celery.task.duration") == both
    assert len({point.resource["service.instance.id"] for point in receiver.points()}) == 1, "one process pushes"


def said(worker: Worker, pattern: str) -> int:
    """Count the lines of the log that match."""
    return sum(1 for line in worker.log.splitlines() if re.search(pattern, line))


def noise(worker: Worker) -> list[str]:
    """List what an exporter, or a library under it, has said in its own words."""
    words = (
        "Exception while exporting",
        "Transient error",
        "Failed to export",
        "retrying in",
        "urllib3",
        "grpc",
        "fork()",
    )
    return [line for line in worker.log.splitlines() if any(w in line for w in words) and FAILING not in line]
