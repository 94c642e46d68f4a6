"""What the tasks really recorded, read from their record file, and how to wait until the port says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Scrape, Worker

APP = "tests.integration.relay.shop"


def start(site: Site, pool: str = "prefork", **options) -> Worker:
    """Start a worker of the shop, and wait until it consumes."""
    return site.start(app=APP, pool=pool, **options).wait_ready()


def send(site: Site, times: int, task: str = "shop.sell", **arguments) -> None:
    """Publish a task so many times, without waiting for any."""
    for _ in range(times):
        site.client.send_task(task, kwargs=arguments)


def call(site: Site, task: str, **arguments):
    """Have one task run, and give what it returns."""
    return site.client.send_task(task, kwargs=arguments).get(timeout=60)


def sold(worker: Worker) -> int:
    """Count the orders that tasks wrote down as they recorded them."""
    return sum(number for line, number in worker.record().items() if line.startswith("order "))


def shown(scrape: Scrape) -> float:
    """Read how many orders the port shows."""
    return scrape.value("shop_orders_total")


def wait_for(worker: Worker, values: Mapping[str, float], seconds: float = 30) -> Scrape:
    """Wait until the port shows these sums, and say what it shows if it never does."""
    seen: dict[str, float] = {}

    def is_shown() -> Scrape | None:
        scrape = worker.scrape()
        seen.update({name: scrape.value(name) for name in values})
        return scrape if seen == values else None

    try:
        return wait_until(is_shown, "the port shows it", seconds)
    except AssertionError as error:
        message = f"{error}: {seen} instead of {dict(values)}\n{worker.log[-4000:]}"
        raise AssertionError(message) from None
