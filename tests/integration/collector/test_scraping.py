"""The agent that scrapes real workers' ports: what it shows, and what it writes, is what the ports say."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.integration.collector.collector import running
from tests.integration.collector.load import play
from tests.integration.collector.readme import formula
from tests.integration.collector.series import assert_same, ended, shown, stored
from tests.integration.collector.store import Prometheus
from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.collector.collector import Collector
    from tests.integration.collector.series import Series
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

pytestmark = pytest.mark.xdist_group("collector-agent")


class Scraped(NamedTuple):
    """Two real workers whose tasks have all ended, and what was made of their metrics."""

    workers: list[Worker]
    agent: Collector
    store: Prometheus

    def own(self) -> Series:
        """Ask the workers' own ports."""
        return shown(*(worker.scrape() for worker in self.workers))

    def arrives_at(self, ask: Callable[[], Series]) -> int:
        """Wait until a place has as many ended tasks as the ports have, then compare every series."""
        own = self.own()
        wait_until(lambda: ended(ask()) == ended(own), "the last tasks' ends have arrived")
        return assert_same(own, ask())


@pytest.fixture(scope="module")
def scraped(otelcol: str, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """Start two workers, an agent that scrapes both, and a Prometheus that it writes to; play a few tasks."""
    workers = [site.start(name="first"), site.start(name="second", pool="threads")]
    store = Prometheus(tmp_path_factory.mktemp("store"))
    environment = {
        "OTELCOL_RECEIVER": "prometheus",
        "OTELCOL_WORKERS": f"[{', '.join(f'127.0.0.1:{worker.port}' for worker in workers)}]",
        "OTELCOL_SCRAPE_INTERVAL": "1s",
        "OTELCOL_REMOTE_WRITE_URL": store.write_url,
    }
    with store.running(), running(otelcol, "agent", tmp_path_factory.mktemp("agent"), environment) as agent:
        for worker in workers:
            worker.wait_ready()
        play(site, *workers)
        wait_until(lambda: _publishes(site, workers), "the first worker has published")
        yield Scraped(workers, agent, store)


def _publishes(site: Site, workers: list[Worker]) -> bool:
    """Have one more task retried, which a worker publishes, if the second worker took all that were."""
    if workers[0].scrape().has("celery_task_published_total"):
        return True
    site.client.send_task("proj.retry_once")
    for worker in workers:
        worker.settled()
    return False


def test_shows_what_the_ports_show(scraped):
    """Each series of both workers' ports is on the agent's port, with its labels and value, and nothing else is."""
    assert scraped.arrives_at(lambda: shown(scraped.agent.scrape())) > 300


def test_tells_the_workers_apart(scraped):
    """Job and instance are the scrape's, and the worker's resource is beside them in target_info."""
    scrape = scraped.agent.scrape()
    addresses = {f"127.0.0.1:{worker.port}" for worker in scraped.workers}
    assert scrape.labels("celery_worker_up", "instance") == addresses
    assert scrape.labels("celery_worker_up", "job") == {"celery"}
    assert scrape.labels("up", "instance") == addresses
    assert scrape.value("up") == 2
    assert scrape.labels("target_info", "telemetry_sdk_name") == {"opentelemetry"}


def test_writes_what_the_ports_show(scraped):
    """A real Prometheus, asked after remote write, has each series of both ports with the same value."""
    assert scraped.arrives_at(lambda: stored(scraped.store)) > 300


def test_has_as_many_series_as_readme_says(scraped):
    """README's formula gives the number of series that the first worker's port has, or very nearly."""
    own, task, ran, wait, publish = formula()
    scrape = scraped.workers[0].scrape()
    queues, tasks, succeeded, waited, published, exceptions = (
        sum(sample.name == name for sample in scrape.samples)
        for name in (
            "celery_worker_queue_info",
            "celery_task_received_total",
            "celery_task_runtime_seconds_count",
            "celery_task_queue_wait_seconds_count",
            "celery_task_published_total",
            "celery_task_failures_by_exception_total",
        )
    )
    # Tasks that ran and never succeeded have no runtime and no last success: two histograms instead of three.
    failed_only = sum(sample.name == "celery_task_duration_seconds_count" for sample in scrape.samples) - succeeded
    expected = own + queues + task * tasks + ran * succeeded + 36 * failed_only + exceptions
    expected += wait * waited + publish * published
    assert waited
    assert published
    assert len(scrape.samples) == pytest.approx(expected, rel=0.02)


def test_sees_a_worker_die(scraped):
    """A worker that is gone has `up` 0 at the next scrape, as if Prometheus had scraped it, and its series end."""
    scraped.workers[1].process.kill()
    where = {"instance": f"127.0.0.1:{scraped.workers[1].port}"}
    wait_until(lambda: not scraped.agent.scrape().value("up", **where), "up is 0")
    wait_until(lambda: not scraped.agent.scrape().has("celery_worker_up", **where), "its series have ended")
    assert scraped.agent.scrape().value("up") == 1
    gone = f'celery_worker_up{{instance="{where["instance"]}"}}'
    wait_until(lambda: scraped.store.query(gone) == [], "the store has marked them stale")
