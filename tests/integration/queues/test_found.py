"""Queues that nobody has named to anyone: what is published by mistake is seen, on Redis and on RabbitMQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery

from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.queues.office import RabbitMQ, Redis
    from tests.integration.worker.harness import Scrape, Worker

SENT = 20
DISCOVER = "OTEL_PYTHON_CELERY_QUEUES_DISCOVER"


def lengths(scrape: Scrape) -> dict[str, float]:
    """Map each queue to its length."""
    return {each.labels["queue"]: each.value for each in scrape.samples if each.name == "celery_queue_length"}


def publish(broker: str, queue: str) -> None:
    """Publish to a queue by its name alone, as ``apply_async(queue=…)`` does."""
    client = Celery("client", broker=broker, set_as_current=False)
    for _ in range(SENT):
        client.send_task("orders.place", queue=queue)
    client.close()


def test_a_mistyped_queue_is_found(broker: Redis | RabbitMQ, export: Callable[..., Worker]) -> None:
    """The exporter knows of another queue only, and has the broker's own list, unless it is told to leave that."""
    publish(broker.url, "tradign")
    exporter = export("--broker", broker.url, "--queue", "trading", **broker.options)
    wait_until(lambda: lengths(exporter.scrape()) == {"tradign": SENT}, "the mistyped queue is shown")
    publish(broker.url, "makret")
    wait_until(lambda: lengths(exporter.scrape()) == {"tradign": SENT, "makret": SENT}, "so is a later one")
    assert exporter.scrape().value("otel_celery_queue_refresh_failures_total") == 0
    publish(broker.url, "trading")
    quiet = export("--broker", broker.url, "--queue", "trading", **broker.options, **{DISCOVER: "false"})
    wait_until(lambda: lengths(quiet.scrape()) == {"trading": SENT}, "no other is shown where that is asked for")
