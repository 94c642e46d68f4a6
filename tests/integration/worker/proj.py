"""The app under test: one task for each way a task can end, each writing down what really happened.

Configured by environment variables, since every worker is a process of its own. The record is a file to which each
run appends one line as it begins and one as it ends by itself; the tests compare it with what the port says.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from celery import Celery, Task, signals
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.worker.request import Request
from kombu import Exchange, Queue

env = os.environ.get
app = Celery("proj", broker=env("T_BROKER", "memory://"), backend=env("T_BACKEND") or None)
app.conf.update(
    task_acks_late=env("T_ACKS_LATE") == "1",
    worker_deduplicate_successful_tasks=env("T_DEDUPLICATE") == "1",
    worker_lost_wait=1.0,
    worker_prefetch_multiplier=int(env("T_PREFETCH", "4")),
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    broker_transport_options={"visibility_timeout": int(env("T_VISIBILITY", "3600"))},
    task_send_sent_event=False,
    result_backend_transport_options={"retry_policy": {"timeout": 5.0}},
    task_routes={"proj.elsewhere": {"queue": "another"}},
)
if env("T_START_METHOD"):
    app.conf.worker_pool_start_method = env("T_START_METHOD")
    app.conf.worker_proc_alive_timeout = 60.0  # Celery kills a child that is slower, and four of them import at once
if env("T_QUEUES") == "exchanges":
    topic = Exchange("events", type="topic")
    app.conf.task_queues = [
        Queue("orders", topic, routing_key="order.*"),
        Queue("invoices", topic, routing_key="invoice.#"),
        Queue("celery"),
    ]


def note(word: str, name: str) -> None:
    """Append one line to the record; short appends are atomic, whoever else writes."""
    if env("T_RECORD"):
        with Path(os.environ["T_RECORD"]).open("a") as file:
            file.write(f"{word} {name}\n")


@contextlib.contextmanager
def noted(name: str):
    """Note a run's beginning, and its end where it comes that far."""
    note("began", name)
    yield
    note("finished", name)


class Hearing(Request):
    """A user's own Request class, which must go on hearing everything."""

    def on_accepted(self, pid, time_accepted):
        """Note the call."""
        note("heard", f"accepted {self.type}")
        super().on_accepted(pid, time_accepted)

    def on_failure(self, exc_info, *args, **kwargs):
        """Note the call."""
        note("heard", f"failure {self.type}")
        super().on_failure(exc_info, *args, **kwargs)


class Heard(Task):
    """A task base that does not inherit from the app's own Task."""

    Request = Hearing


@app.task(name="proj.succeed")
def succeed(seconds=0.0):
    """Return, after a while."""
    with noted("succeed"):
        time.sleep(seconds)
        return "done"


@app.task(name="proj.heard", base=Heard)
def heard():
    """Return, seen by a user's own Request class."""
    with noted("heard"):
        return "done"


@app.task(name="proj.heard_failing", base=Heard)
def heard_failing():
    """Raise, seen by a user's own Request class."""
    raise ValueError("heard")


@app.task(name="proj.fail")
def fail():
    """Raise."""
    note("began", "fail")
    raise ValueError("the message is never a label")


@app.task(name="proj.fail_locally")
def fail_locally():
    """Raise an exception that cannot be pickled."""

    class LocalError(Exception):
        def __init__(self, a, b):
            super().__init__(a, b)

    raise LocalError(1, 2)


class HostileError(Exception):
    """Raises from whatever is asked of it."""

    def __getattr__(self, name):
        """Fail, as a lookup in an empty mapping does."""
        raise KeyError(name)


@app.task(name="proj.fail_hostile")
def fail_hostile():
    """Raise an exception that raises itself."""
    note("began", "fail_hostile")
    raise HostileError


@app.task(name="proj.retry_once", bind=True, max_retries=3, default_retry_delay=0)
def retry_once(self):
    """Ask to be retried once, then return."""
    note("began", "retry_once")
    if not self.request.retries:
        raise self.retry(countdown=0)
    return "second time"


@app.task(name="proj.retry_out", bind=True, max_retries=2)
def retry_out(self):
    """Ask to be retried until the retries are used up."""
    note("began", "retry_out")
    try:
        raise KeyError("again")
    except KeyError as error:
        raise self.retry(exc=error, countdown=0) from error


@app.task(name="proj.reject", acks_late=True)
def reject():
    """Raise Reject."""
    note("began", "reject")
    raise Reject("no", requeue=False)


@app.task(name="proj.ignore")
def ignore():
    """Raise Ignore."""
    note("began", "ignore")
    raise Ignore


@app.task(name="proj.soft", soft_time_limit=1)
def soft():
    """Run into the soft time limit."""
    note("began", "soft")
    time.sleep(8)


@app.task(name="proj.soft_caught", soft_time_limit=1)
def soft_caught():
    """Run into the soft time limit, and return all the same."""
    with noted("soft_caught"), contextlib.suppress(SoftTimeLimitExceeded):
        time.sleep(8)


@app.task(name="proj.hard", time_limit=2)
def hard():
    """Run into the hard time limit."""
    note("began", "hard")
    time.sleep(8)


@app.task(name="proj.hard_requeued_once", time_limit=3, acks_late=True, acks_on_failure_or_timeout=False)
def hard_requeued_once():
    """Run into the hard time limit, with a message that goes back to the queue; return the second time."""
    _once_then("hard_requeued_once", lambda: time.sleep(8))


@app.task(name="proj.kill")
def kill():
    """Die of SIGKILL, as under the kernel's memory killer."""
    note("began", "kill")
    _die(_kill)


@app.task(name="proj.kill_requeued_once", acks_late=True, reject_on_worker_lost=True)
def kill_requeued_once():
    """Die of SIGKILL, with a message that goes back to the queue; return the second time."""
    _once_then("kill_requeued_once", lambda: _die(_kill))


@app.task(name="proj.kill_retried_once", max_retries=2, default_retry_delay=0)
def kill_retried_once():
    """Die of SIGKILL; Celery 5.7 retries."""
    _once_then("kill_retried_once", lambda: _die(_kill))


kill_retried_once.retry_on_worker_lost = True


@app.task(name="proj.kill_after_success")
def kill_after_success():
    """Store SUCCESS, then die before it is reported; see :func:`_die_after_success`."""
    note("began", "kill_after_success")


@signals.task_postrun.connect
def _die_after_success(task=None, **_):
    if task is not None and task.name == "proj.kill_after_success":
        _die(_kill)


@app.task(name="proj.segfault")
def segfault():
    """Die in C code."""
    import ctypes

    _die(lambda: ctypes.string_at(0))


@app.task(name="proj.sys_exit")
def sys_exit():
    """Leave the process by SystemExit."""
    note("began", "sys_exit")
    _die(lambda: sys.exit(3))


@app.task(name="proj.os_exit")
def os_exit():
    """Leave the process at once."""
    note("began", "os_exit")
    _die(lambda: os._exit(3))


@app.task(name="proj.interrupt")
def interrupt():
    """Raise KeyboardInterrupt."""
    note("began", "interrupt")
    raise KeyboardInterrupt


@app.task(name="proj.no_memory")
def no_memory():
    """Raise MemoryError: on prefork the worker stops."""
    note("began", "no_memory")
    raise MemoryError("too much")


@app.task(name="proj.never")
def never():
    """Be revoked, or expire, before it starts."""
    note("began", "never")


@app.task(name="proj.late")
def late():
    """Expire before it starts."""
    note("began", "late")


@app.task(name="proj.beyond")
def beyond():
    """Have an ETA beyond what a timestamp can hold."""
    note("began", "beyond")


@app.task(name="proj.shadowed")
def shadowed():
    """Return, under another name in logs and events."""
    with noted("shadowed"):
        return "done"


@app.task(name="proj.endless")
def endless(seconds=30.0):
    """Be terminated while it runs."""
    with noted("endless"):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(0.05)


@app.task(name="proj.replaced", bind=True)
def replaced(self):
    """Run as another task under the same id."""
    note("began", "replaced")
    raise self.replace(replacement.si())


@app.task(name="proj.replacement")
def replacement():
    """Run in another task's stead."""


@app.task(name="proj.limited", rate_limit="1/h")
def limited():
    """Be held by a rate limit."""
    note("began", "limited")


@app.task(name="proj.elsewhere")
def elsewhere():
    """Be routed to a queue that the worker does not consume."""


@app.task(name="proj.add")
def add(numbers):
    """Sum a chord's results."""
    note("began", "add")
    return len(numbers)


def _die(how) -> None:
    """End the child once the main process has heard of the start.

    Where it has not, billiard gives the job to another child: it begins twice, and Celery itself knows of one run.
    """
    time.sleep(0.5)
    how()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _once_then(name: str, first) -> None:
    """Do something the first time only, by the record."""
    before = Path(os.environ["T_RECORD"]).read_text().count(f"began {name}\n")
    with noted(name):
        if not before:
            first()
