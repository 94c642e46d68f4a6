"""An app whose tasks publish others in every way, for processes that are workers and processes that are none."""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery, chain, chord, group

from otel_celery import instrument

app = Celery("publishes", broker=os.environ.get("T_BROKER", "memory://"), backend=os.environ.get("T_BACKEND"))
app.conf.update(
    worker_pool_start_method=os.environ.get("T_START_METHOD", "fork"),
    broker_connection_retry_on_startup=True,
    worker_proc_alive_timeout=60,
)
if not os.environ.get("T_HOOK"):
    instrument(app)


@app.task(name="p.leaf")
def leaf(*_: object) -> None:
    """Do nothing."""


@app.task(name="p.errback")
def errback(_: str) -> None:
    """Hear of a failure by the task's id; an errback with more arguments is called without a message."""


@app.task(name="p.bad")
def bad(*_: object) -> None:
    """Fail, so that the errback is published."""
    raise ValueError("asked for")


@app.task(name="p.again", bind=True)
def again(self: Any) -> None:
    """Retry once."""
    if not self.request.retries:
        raise self.retry(countdown=0)


@app.task(name="p.replaced", bind=True)
def replaced(self: Any) -> None:
    """Be replaced."""
    raise self.replace(leaf.si())


@app.task(name="p.all")
def everything() -> None:
    """Publish in every way."""
    leaf.delay()
    chain(leaf.si(), leaf.si()).apply_async()
    group(leaf.si(), leaf.si()).apply_async()
    chord([leaf.si()], leaf.si()).apply_async()
    again.delay()
    replaced.delay()
    bad.apply_async(link_error=errback.s())
    app.send_task("p.named")


@app.task(name="p.named")
def named() -> None:
    """Be published by the module's own app, which a spawned child has besides the worker's."""


EXPECTED = {"p.leaf": 8, "p.again": 2, "p.replaced": 1, "p.bad": 1, "p.errback": 1, "p.named": 1}
"""How often each is published by one ``p.all``; leaves: alone, of a chain, a group, a chord, a replacement."""

if __name__ == "__main__":
    everything.delay()
    if "--fork" in sys.argv:
        if pid := os.fork():
            os.waitpid(pid, 0)
        else:
            everything.delay()
            everything.delay()
    if "--fail" in sys.argv:
        try:
            leaf.delay(object())
        except Exception as error:  # noqa: BLE001  which class it is, is what is asked
            print(type(error).__name__)  # noqa: T201
