"""Every way a task can end: how it is brought about, and what the books must say on each pool.

The rows of the table in docs/architecture.md. Where a pool cannot bring a row about, the row names it, and why.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import celery

from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

POOLS = ("prefork", "threads", "solo", "gevent", "eventlet")
GREEN = ("gevent", "eventlet")
IN_PROCESS = ("threads", "solo", "gevent", "eventlet")
VERSION = tuple(int(part) for part in celery.__version__.split(".")[:2])

Send = "Callable[[Site, Worker, str], None]"


@dataclass(frozen=True)
class Row:
    """One way to end."""

    name: str
    """Without the ``proj.`` in front; each row has a task of its own."""
    ends: dict[str, int]
    without: tuple[str, ...] = ()
    """The pools that cannot do it."""
    because: str = ""
    send: Any = None
    started: int = 1
    exception: str | None = None
    reason: str | None = None
    limit: str | None = None
    record: dict[str, int] = field(default_factory=dict)
    """What the tasks themselves must have written down."""
    older: dict[tuple[int, int], dict[str, int]] = field(default_factory=dict)
    """The ends on Celery before a version, where they differ."""
    older_record: dict[str, int] | None = None

    @property
    def task(self) -> str:
        """The registered name."""
        return f"proj.{self.name}"

    def expected(self, *, backend: bool) -> Counter[str]:
        """Count the ends on the Celery that is installed."""
        version = VERSION if backend or self.name != "kill_after_success" else (5, 6)  # it is a result that tells
        return Counter(next((ends for newer, ends in sorted(self.older.items()) if version < newer), self.ends))

    def written(self) -> dict[str, int]:
        """Tell what must stand in the record on the Celery that is installed."""
        return self.record if self.older_record is None or VERSION >= (5, 7) else self.older_record


def _revoked_before(site: Site, worker: Worker, task: str) -> None:
    task_id = str(uuid.uuid4())
    site.client.control.revoke(task_id, reply=True, timeout=5, limit=1, destination=[f"{worker.name}@localhost"])
    site.client.send_task(task, task_id=task_id)


def _expired(site: Site, _: Worker, task: str) -> None:
    site.client.send_task(task, expires=datetime.now(timezone.utc) - timedelta(minutes=1))


def _terminated(site: Site, worker: Worker, task: str) -> None:
    sent = site.client.send_task(task)
    wait_until(lambda: worker.record()["began endless"], "the endless task began")
    site.client.control.revoke(sent.id, terminate=True, signal="SIGTERM")


def _shadowed(site: Site, _: Worker, task: str) -> None:
    site.client.send_task(task, shadow="free text of the publisher")


def _overflowing(site: Site, _: Worker, task: str) -> None:
    site.client.send_task(task, headers={"eta": "9999-12-31T23:59:59-12:00"})


ROWS = (
    Row("succeed", {"success": 1}, record={"finished succeed": 1}),
    Row("shadowed", {"success": 1}, send=_shadowed, record={"finished shadowed": 1}),
    Row(
        "heard",
        {"success": 1},
        record={"finished heard": 1, "heard accepted proj.heard": 1},
    ),
    Row(
        "heard_failing",
        {"failure": 1},
        exception="ValueError",
        record={"heard accepted proj.heard_failing": 1, "heard failure proj.heard_failing": 1},
    ),
    Row("fail", {"failure": 1}, exception="ValueError", record={"began fail": 1}),
    Row("fail_locally", {"failure": 1}, exception="LocalError"),
    Row(
        "fail_hostile",
        {"failure": 1},
        without=IN_PROCESS,
        because="where it is not pickled Celery itself trips over it, and hears of no end",
        record={"began fail_hostile": 1},
    ),
    Row("retry_once", {"retry": 1, "success": 1}, started=2, record={"began retry_once": 2}),
    Row("retry_out", {"retry": 2, "failure": 1}, started=3, exception="KeyError", record={"began retry_out": 3}),
    Row("reject", {"rejected": 1}, record={"began reject": 1}),
    Row("ignore", {"ignored": 1}, record={"began ignore": 1}),
    Row("replaced", {"ignored": 1}, record={"began replaced": 1}),
    Row(
        "soft",
        {"failure": 1},
        without=IN_PROCESS,
        because="soft time limits exist on prefork only",
        exception="SoftTimeLimitExceeded",
        limit="soft",
    ),
    Row(
        "soft_caught",
        {"success": 1},
        without=IN_PROCESS,
        because="soft time limits exist on prefork only",
        limit="soft",
        record={"finished soft_caught": 1},
    ),
    Row(
        "hard",
        {"failure": 1},
        without=("threads", "solo", "eventlet"),
        because="threads, solo and eventlet ignore time limits",
        exception="TimeLimitExceeded",
        limit="hard",
        record={"began hard": 1, "finished hard": 0},
    ),
    Row(
        "hard_requeued_once",
        {"failure": 1, "success": 1},
        without=IN_PROCESS,
        because="only prefork kills a run that is over its hard limit and gives its message back",
        started=2,
        exception="TimeLimitExceeded",
        limit="hard",
        record={"finished hard_requeued_once": 1},
        older={(5, 5): {"failure": 1}},
        older_record={},
    ),
    Row(
        "kill",
        {"failure": 1},
        without=IN_PROCESS,
        because="the task would kill the worker",
        exception="WorkerLostError",
    ),
    Row(
        "segfault",
        {"failure": 1},
        without=IN_PROCESS,
        because="the task would kill the worker",
        exception="WorkerLostError",
    ),
    Row(
        "os_exit",
        {"failure": 1},
        without=IN_PROCESS,
        because="the task would end the worker",
        exception="WorkerLostError",
        record={"began os_exit": 1},
    ),
    Row(
        "kill_requeued_once",
        {"failure": 1, "success": 1},
        without=IN_PROCESS,
        because="the task would kill the worker",
        started=2,
        exception="WorkerLostError",
        record={"finished kill_requeued_once": 1},
    ),
    Row(
        "kill_retried_once",
        {"retry": 1, "success": 1},
        without=IN_PROCESS,
        because="the task would kill the worker",
        started=2,
        older={(5, 7): {"failure": 1}},
    ),
    Row(
        "kill_after_success",
        {"success": 1},
        without=IN_PROCESS,
        because="the task would kill the worker",
        older={(5, 7): {"failure": 1}},
    ),
    Row(
        "sys_exit",
        {"failure": 1},
        without=("solo",),
        because="on solo it ends the worker: a test of its own",
        exception="WorkerLostError",
        record={"began sys_exit": 1},
    ),
    Row(
        "interrupt",
        {"failure": 1},
        without=("solo",),
        because="on solo it ends the worker: a test of its own",
        exception="WorkerLostError",
        record={"began interrupt": 1},
    ),
    Row(
        "no_memory",
        {"failure": 1},
        without=POOLS,
        because="on every pool Celery raises it in the main process: a test of its own",
        exception="MemoryError",
    ),
    Row("never", {"revoked": 1}, started=0, reason="revoked", send=_revoked_before, record={"began never": 0}),
    Row("late", {"revoked": 1}, started=0, reason="expired", send=_expired, record={"began late": 0}),
    Row(
        "endless",
        {"revoked": 1},
        without=("threads", "solo"),
        because="threads and solo cannot terminate a run",
        reason="terminated",
        send=_terminated,
        record={"began endless": 1, "finished endless": 0},
    ),
    Row(
        "beyond",
        {"rejected": 1},
        started=0,
        send=_overflowing,
        record={"began beyond": 0},
        older_record={"began beyond": 1},  # Celery rejects its message, and forgets not to run it
    ),
)
