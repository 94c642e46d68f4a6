"""An app whose tasks have Strategies of their own: each does something else with its requests."""

from __future__ import annotations

import os
from importlib.util import find_spec
from time import monotonic

from celery import Celery
from celery.worker import strategy
from celery.worker.request import create_request_cls
from kombu.utils.imports import symbol_by_name

app = Celery("proj", broker=os.environ["T_BROKER"], backend=os.environ.get("T_BACKEND") or None)
app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=0)
kept = []


def own(handle, *, asks_each_time=False):
    """Make a Strategy that makes a request of each message as Celery's does, and hands it on.

    It asks for the class of its task's requests once, or at each message.
    """

    def make(task, app, consumer):
        def find():
            base = symbol_by_name(task.Request)
            return create_request_cls(base, task, consumer.pool, consumer.hostname, consumer.event_dispatcher, app=app)

        found = find()

        def on_message(message, body, ack, reject, callbacks, **_):
            del body, callbacks
            kind = find() if asks_each_time else found
            handle(
                kind(
                    message,
                    on_ack=ack,
                    on_reject=reject,
                    app=app,
                    hostname=consumer.hostname,
                    eventer=consumer.event_dispatcher,
                    task=task,
                    connection_errors=consumer.connection_errors,
                    body=message.body,
                    headers=message.headers,
                ),
                consumer,
            )

        return on_message

    return staticmethod(make)


def work(number):
    """Be what a pool is given."""
    return number


def apply_eagerly(request, _consumer):
    """Run the task without its request."""
    request.acknowledge()
    request.task.apply()


def use_the_pool(request, consumer):
    """Run something of the Strategy's own, as celery-batches does."""
    consumer.pool.apply_async(work, (1,), callback=lambda _: request.acknowledge())


def tell(request, consumer):
    """Run something of the Strategy's own, and tell the request."""

    def done(_result):
        request.on_success((0, "done", None))

    consumer.pool.apply_async(
        work,
        (1,),
        accept_callback=lambda pid, at: request.on_accepted(pid, at if isinstance(at, float) else monotonic()),
        callback=done,
    )


def lean_on_celerys(task, app, consumer):
    """Do what Celery does, with a word before."""
    handle = strategy.default(task, app, consumer)

    def on_message(*args, **kwargs):
        return handle(*args, **kwargs)

    return on_message


def succeed():
    """Return."""
    return "done"


def task(name, handle, body=succeed):
    """Register a task with a Strategy of its own."""
    app.task(name=f"own.{name}", shared=False, Strategy=handle, acks_late=name == "late")(body)


def fail():
    """Raise."""
    raise ValueError("no")


task("drop", own(lambda request, _: request.acknowledge()))
task("keep", own(lambda request, _: kept.append(request)))
task("here", own(lambda request, _: request.execute()))
task("fail_here", own(lambda request, _: request.execute()), fail)
task("late", own(lambda request, _: request.execute()))
task("eager", own(apply_eagerly))
task("pool", own(use_the_pool))
task("told", own(tell))
task("using_pool", own(lambda request, consumer: request.execute_using_pool(consumer.pool)))
task("asking", own(lambda request, consumer: request.execute_using_pool(consumer.pool), asks_each_time=True))
task("asking_drop", own(lambda request, _: request.acknowledge(), asks_each_time=True))
task("reject", own(lambda request, _: request.reject(requeue=False)))
task("leaning", staticmethod(lean_on_celerys))

if find_spec("celery_batches"):
    from celery_batches import Batches

    @app.task(name="own.batch", base=Batches, flush_every=4, flush_interval=1)
    def batch(requests):
        """Be given four requests at once, or what has come in a second."""
        return len(requests)

    @app.task(name="own.batch_later", base=Batches, flush_every=100, flush_interval=3600)
    def batch_later(requests):
        """Be given nothing for an hour."""
        return len(requests)
