"""The queue exporter on a Redis behind Sentinel, whose master dies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kombu import Connection, Queue

from tests.integration.queues.sentinels import MASTER, watched
from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.worker.harness import Worker


def published(url: str, count: int) -> None:
    """Publish to the master, over Sentinel, with two priorities."""
    options = {"master_name": MASTER}
    with Connection(url, transport_options=options) as connection, connection.channel() as channel:
        queue = Queue("letters", routing_key="letters")(channel)
        queue.declare()
        for number in range(count):
            connection.Producer(channel).publish({}, routing_key="letters", priority=9 * (number % 2))


@pytest.mark.theirs
def test_a_failover_is_followed(export: Callable[..., Worker], tmp_path: Path) -> None:
    """With no master nothing is shown; then the figures are those of the new one, by one thread as before."""
    with watched(tmp_path) as sentinels:
        published(sentinels.url, 3)
        named = ("--queue", "letters", "--queue", "nothing", "--option", f"master_name={MASTER}")
        exporter = export("--broker", sentinels.url, *named, OTEL_PYTHON_CELERY_QUEUES_INTERVAL="1000")

        def lengths() -> dict[str, float]:
            scrape = exporter.scrape()
            return {one.labels["queue"]: one.value for one in scrape.samples if one.name == "celery_queue_length"}

        wait_until(lambda: lengths() == {"letters": 3}, "the length is right")
        threads = len(list(Path(f"/proc/{exporter.process.pid}/task").iterdir()))
        before = sentinels.sentinel.discover_master(MASTER)
        with sentinels.client() as client:
            client.wait(1, 5_000)  # until the replica has what was published
        sentinels.master.kill()
        sentinels.master.wait()
        wait_until(lambda: lengths() == {}, "nothing is shown")
        assert exporter.get("/-/healthy")[0] == 200
        wait_until(lambda: lengths() == {"letters": 3}, "the new master is asked")
        assert sentinels.sentinel.discover_master(MASTER) != before
        published(sentinels.url, 2)
        wait_until(lambda: lengths() == {"letters": 5}, "the length follows")
        assert exporter.get("/-/ready")[0] == 200
        assert exporter.scrape().value("otel_celery_queue_refresh_failures_total") > 0
        assert len(list(Path(f"/proc/{exporter.process.pid}/task").iterdir())) == threads
        assert exporter.stop() == 0
        assert "Traceback" not in exporter.log
