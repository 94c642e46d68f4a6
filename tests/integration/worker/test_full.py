"""A pool whose slots are all taken is ready, a consumer that stands still with free slots is not, on every pool.

gevent, eventlet, and prefork on transports without an event loop keep the consumer waiting for a slot.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.conftest import open_site
from tests.integration.worker.harness import wait_until
from tests.services import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

STALE = 5.0
"""Seconds after which a loop that stands still counts as stuck here."""
SLOTS = 2
WAITING = 3
"""More than may be prefetched: the consumer has one in hand for which there is no slot."""
APP = "tests.integration.worker.proj_full"


def start(site: Site, pool: str, **environment: str) -> Worker:
    """Start a worker of two slots."""
    environment = {"T_STALE": str(STALE), "T_PREFETCH": "1", **environment}
    return site.start(pool=pool, app=APP, concurrency=SLOTS, environment=environment, backend=False)


def let_go(worker: Worker) -> None:
    """Have the tasks end, and the consumer go on."""
    worker.record_path.with_suffix(".go").touch()


def is_full(worker: Worker) -> bool:
    """Tell whether every slot is taken."""
    return worker.scrape().value("celery_worker_tasks_active") == SLOTS


def all_end(worker: Worker) -> None:
    """Let the tasks go: those that waited run as well, and nothing is lost."""
    let_go(worker)
    wait_until(lambda: worker.record()["finished held"] == SLOTS + WAITING, "all have run")
    assert worker.settled().ends("proj.held") == {"success": SLOTS + WAITING}
    assert worker.is_ready()


def stays_ready(worker: Worker, seconds: float) -> None:
    """See that the worker is ready all the time, by its port and by what the alert looks at."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert worker.get("/-/ready") == (200, "ready\n")
        scrape = worker.scrape()
        assert scrape.value("celery_worker_tasks_active") == SLOTS
        assert scrape.value("celery_worker_loop_stall_seconds") <= STALE
        assert time.time() - scrape.value("celery_worker_last_loop_timestamp_seconds") < 2 * STALE


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Site]:
    """Give a site whose broker is a folder."""
    place = tmp_path / "broker"
    place.mkdir()
    with open_site("filesystem://", "", tmp_path) as opened:
        options = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), str(place))
        opened.client.conf.broker_transport_options = options
        yield opened


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent", "eventlet"])
def test_a_full_pool_is_ready_on_redis(site: Site, pool: str) -> None:
    """Whether the consumer turns meanwhile or waits for a slot, the worker is well, and says so."""
    worker = start(site, pool).wait_ready()
    for _ in range(SLOTS + WAITING):
        site.client.send_task("proj.held")
    wait_until(lambda: is_full(worker), "every slot is taken")
    stays_ready(worker, 3 * STALE)
    all_end(worker)


@pytest.mark.prefork
@pytest.mark.parametrize("countdown", [None, 1.0], ids=["at once", "with an ETA"])
def test_a_full_prefork_pool_is_ready_on_a_transport_without_an_event_loop(
    folder: Site, tmp_path: Path, countdown: float | None
) -> None:
    """The consumer waits for a slot; so does the timer's thread, which submits the tasks that have an ETA."""
    worker = start(folder, "prefork", T_FOLDER=str(tmp_path / "broker")).wait_ready()
    for _ in range(SLOTS):
        folder.client.send_task("proj.held")
    wait_until(lambda: is_full(worker), "every slot is taken")
    for _ in range(WAITING):
        folder.client.send_task("proj.held", countdown=countdown)
    stays_ready(worker, 3 * STALE)
    all_end(worker)


@pytest.mark.prefork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what kombu asks of SQLAlchemy 2.1
def test_a_full_prefork_pool_is_ready_on_sql(tmp_path: Path) -> None:
    """The same, where the broker is a database."""
    require(find_spec("sqlalchemy"), "SQLAlchemy is not installed: pip install --group test")
    with open_site(f"sqla+sqlite:///{tmp_path}/broker.db", "", tmp_path) as site:
        worker = start(site, "prefork").wait_ready()
        for _ in range(SLOTS + WAITING):
            site.client.send_task("proj.held")
        wait_until(lambda: is_full(worker), "every slot is taken")
        stays_ready(worker, 3 * STALE)
        all_end(worker)


@pytest.mark.prefork
def test_a_full_prefork_pool_is_ready_on_memory(site: Site) -> None:
    """The same, where the worker is the only one to publish."""
    worker = start(site, "prefork", T_BROKER="memory://", T_SELF=str(SLOTS + WAITING))
    wait_until(lambda: worker.record()["began held"] == SLOTS, "every slot is taken")
    worker.wait_ready()
    stays_ready(worker, 3 * STALE)
    all_end(worker)


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent", "eventlet"])
def test_a_consumer_that_stands_still_with_free_slots_is_found(site: Site, pool: str) -> None:
    """One slot is taken, one is free, and the consumer does nothing: the port says so, and the alert would see it."""
    worker = start(site, pool).wait_ready()
    site.client.send_task("proj.held")
    wait_until(lambda: worker.record()["began held"], "a slot is taken")
    site.client.send_task("proj.holding")
    stands_still(worker)


@pytest.mark.prefork
def test_a_consumer_that_stands_still_is_found_on_a_transport_without_an_event_loop(
    folder: Site, tmp_path: Path
) -> None:
    """The same, where it would wait for a slot if there were none."""
    worker = start(folder, "prefork", T_FOLDER=str(tmp_path / "broker")).wait_ready()
    folder.client.send_task("proj.held")
    wait_until(lambda: worker.record()["began held"], "a slot is taken")
    folder.client.send_task("proj.holding")
    stands_still(worker)


def stands_still(worker: Worker) -> None:
    """See that the worker says that it stands still, and that it is well again as soon as it goes on."""
    wait_until(lambda: worker.get("/-/ready")[0] == 503, "it is not ready")
    assert worker.get("/-/ready")[1].startswith("the event loop has not turned for ")
    assert worker.scrape().value("celery_worker_loop_stall_seconds") > STALE
    let_go(worker)
    wait_until(worker.is_ready, "it is ready again")
    assert worker.settled().balances()


@pytest.mark.parametrize(
    "pool", [pytest.param(pool, marks=getattr(pytest.mark, pool)) for pool in ("prefork", "gevent")]
)
def test_the_queues_are_the_consumers_and_without_one_nothing_is_ready(site: Site, pool: str) -> None:
    """Orders to add and to cancel a queue show on the port; the last one cancelled is why it is not ready."""
    worker = start(site, pool).wait_ready()
    control = site.client.control

    def queues() -> set[str]:
        return worker.scrape().labels("celery_worker_queue_info", "queue")

    def order(command: Callable[..., object], queue: str) -> None:
        """Repeat it until it is answered: a worker listens to orders a moment after it consumes."""
        to = ["w@localhost"]
        wait_until(lambda: command(queue, destination=to, reply=True), "the order is answered")

    assert queues() == {"celery"}
    order(control.add_consumer, "later")
    wait_until(lambda: queues() == {"celery", "later"}, "a queue is added")
    site.client.send_task("proj.never", queue="later")
    wait_until(lambda: worker.scrape().value("celery_task_received_total", queue="later"), "it is received")
    assert worker.settled().value("celery_task_received_total", queue="later") == 1
    order(control.cancel_consumer, "celery")
    wait_until(lambda: queues() == {"later"}, "a queue is cancelled")
    assert worker.is_ready()
    order(control.cancel_consumer, "later")
    wait_until(lambda: worker.get("/-/ready") == (503, "the worker consumes no queue\n"), "it is not ready")
    assert not worker.scrape().has("celery_worker_queue_info")
    order(control.add_consumer, "celery")
    wait_until(worker.is_ready, "it is ready again")
    assert queues() == {"celery"}


@pytest.mark.prefork
def test_the_task_that_runs_has_its_name_though_more_are_registered_than_may_have_one(site: Site) -> None:
    """There are places for three; the zeros of the first by alphabet give way."""
    worker = start(site, "prefork", OTEL_PYTHON_CELERY_MAX_TASK_NAMES="3").wait_ready()
    before = worker.scrape().labels("celery_task_received_total", "task_name")
    assert len(before) == 3
    assert "proj.succeed" not in before
    assert "do not stand at zero until they first run" in worker.log
    site.client.send_task("proj.succeed")
    scrape = worker.settled()
    assert scrape.ends("proj.succeed") == {"success": 1}
    assert scrape.balances()
    assert len(scrape.labels("celery_task_received_total", "task_name")) == 3
