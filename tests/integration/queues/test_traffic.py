"""Known traffic through publisher, queues, workers that come and go, and beat: every figure is what really happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.queues.office import CONCURRENCY, MODULE
from tests.integration.worker.harness import Scrape, Worker, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.queues.office import Office

LETTERS, MORE, HELD, STAMPS = 40, 25, 5, 3


def ran(*scrapes: Scrape) -> dict[str, int]:
    """Add up what succeeded, by task, over the workers."""
    names = {name for each in scrapes for name in each.labels("celery_task_succeeded_total", "task_name")}
    counted = {
        name: int(sum(each.value("celery_task_succeeded_total", task_name=name) for each in scrapes)) for name in names
    }
    return {name: count for name, count in counted.items() if count}


@pytest.mark.timeout(240)
def test_every_figure_is_what_the_broker_and_the_tasks_tell(
    office: Office, export: Callable[..., Worker], tmp_path: Path
) -> None:
    """Published, waiting, unacknowledged, run and waited for, with no worker, a full one, a second one, and beat."""
    broker = office.broker
    # A fourth of the interval is each question's limit, which a busy machine is not to exceed.
    exporter = export("-A", MODULE, **office.environment(**broker.options), OTEL_PYTHON_CELERY_QUEUES_INTERVAL="3000")

    def shown(queue: str, what: str = "length") -> float | None:
        scrape, name = exporter.scrape(), f"celery_queue_{what}"
        return scrape.value(name, queue=queue) if scrape.has(name, queue=queue) else None

    def agrees(queue: str, ready: int, unacknowledged: int) -> None:
        wanted = [ready, unacknowledged]
        wait_until(lambda: broker.messages(queue) == wanted, f"the broker has {wanted}")
        wait_until(lambda: [shown(queue), shown(queue, "unacked")] == wanted, f"the exporter shows {wanted}")

    # Nobody consumes: everything that was published waits.
    office.publish(LETTERS)
    agrees("letters", LETTERS, 0)
    assert office.published("post.send", "letters") == LETTERS

    # A worker runs all of it, and is full of tasks that do not end: the rest waits, what it holds is unacknowledged.
    first = office.worker()
    wait_until(lambda: ran(first.scrape()) == {"post.send": LETTERS}, "the letters have been sent")
    agrees("letters", 0, 0)
    gate = tmp_path / "gate"
    office.publish(HELD, "post.hold", str(gate))
    wait_until(lambda: first.scrape().value("celery_worker_tasks_active") == CONCURRENCY, "the worker is full")
    wait_until(lambda: sum(broker.messages("letters")) == HELD, "the broker knows of all")
    wait_until(lambda: CONCURRENCY <= broker.messages("letters")[1] < HELD, "the broker knows what the worker holds")
    agrees("letters", *broker.messages("letters"))
    gate.touch()
    wait_until(lambda: ran(first.scrape()) == {"post.send": LETTERS, "post.hold": HELD}, "the others have run")
    one = first.settled()
    assert first.stop() == 0

    # It is gone: letters wait again, until a second worker comes; beat sends too.
    office.publish(MORE)
    agrees("letters", MORE, 0)
    second = office.worker()
    beat = office.start("beat", "-s", str(tmp_path / "schedule"), **office.pushing)
    wait_until(lambda: _is_open(beat), "beat's port is open")
    wait_until(lambda: beat.scrape().value("celery_beat_tasks_sent_total") >= STAMPS, f"beat has sent {STAMPS} stamps")
    assert beat.stop() == 0
    sent = int(office.receiver.latest("celery.beat.tasks.sent", task_name="post.stamp"))
    assert office.published("post.stamp", "stamps") == sent >= STAMPS
    wait_until(lambda: ran(second.scrape()) == {"post.send": MORE, "post.stamp": sent}, f"{sent} stamps have run")
    two = second.settled()
    for queue in ("letters", "stamps"):
        agrees(queue, 0, 0)

    assert office.published("post.send", "letters") == LETTERS + MORE
    assert ran(one, two) == {"post.send": LETTERS + MORE, "post.hold": HELD, "post.stamp": sent}
    for scrape in (one, two):
        for name in ("celery_task_received_total", "celery_task_started_total", "celery_task_queue_wait_seconds_count"):
            assert scrape.value(name) == sum(ran(scrape).values()), name
        assert scrape.value("otel_celery_clock_skew_total") == 0
        assert scrape.value("otel_celery_internal_errors_total") == 0
        assert scrape.balances(), scrape.books()
    assert exporter.scrape().value("otel_celery_queue_refresh_failures_total") == 0


def _is_open(worker: Worker) -> bool:
    try:
        return worker.get("/-/healthy")[0] == 200
    except OSError:
        return False
