"""Say which queues an app's tasks go to, where its broker is, and whether it answers; bounded in time."""

from __future__ import annotations

import time
from collections import Counter
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from otel_celery.bindings import label
from otel_celery.masking import keep_user, masked_url, plain, reason
from otel_celery.queues.broker import Broker
from otel_celery.queues.figures import Asked, Figures
from otel_celery.routing import Routing
from otel_celery.watch.finding import Broker as Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from otel_celery.queues.broker import Make
    from otel_celery.queues.figures import Answer

PATIENCE = 5.0
"""Seconds that a broker has to answer."""

WAIT = 1.0
"""Seconds of each wait at most: redis-py tries a command four times."""

ESCAPED = "in a password / is written as %2F, # as %23 and @ as %40"
MOST = 20
"""Queues that are named at most."""


def routes(app: Any) -> Iterator[str]:
    """Describe where the messages of the app's tasks go, and what a worker without ``-Q`` would consume of it."""
    routing = Routing(app)
    tasks = [task for name, task in sorted(app.tasks.items()) if not name.startswith("celery.")]
    found = [routing.queue_of(task) for task in tasks]
    queues = Counter(label(queue) for queue in found if queue is not None)
    if queues:
        told = _named(f"{name} ({count})" for name, count in sorted(queues.items()))
        yield f"Its tasks go to the queue{'s' * (len(queues) > 1)} {told}."
    if unknown := found.count(None):
        yield f"A router of the app's decides for {unknown} of them by their arguments."
    consumed = {label(queue) for queue in app.amqp.queues.consume_from.values()}
    if left := sorted(queues.keys() - consumed):
        yield f"A worker without -Q consumes {_named(sorted(consumed))}, and not {_named(left)}."


def answer(app: Any) -> tuple[bool, str]:
    """Ask the app's broker for the lengths of its tasks' queues, without making one; tell whether it answers."""
    told = ask(app.connection_for_read, queues_of(app))
    if told.why:
        return False, f"The broker {told.place} does not answer: {told.why}."
    waiting = _named(f"{length} in {name}" for name, length in sorted(told.lengths.items()) if length)
    is_idle = not any(told.lengths.values())
    return True, f"The broker {told.place} answers{'' if is_idle else f'; messages wait there: {waiting}'}."


def queues_of(app: Any) -> set[str]:
    """Name the queues that the app's tasks go to."""
    routing = Routing(app)
    return {queue.name for task in app.tasks.values() if (queue := routing.queue_of(task)) is not None}


def ask(make: Make, names: Iterable[str], *, others: bool = False) -> Told:
    """Ask the broker, whose connections ``make`` makes, for the lengths of queues; it has PATIENCE to answer.

    ``others`` asks for those that it lists besides as well, where it does.
    """
    try:
        place = plain(", ".join(masked_url(url) for url in _urls(make)))
    except Exception as error:  # noqa: BLE001  a library's, which may quote a part of a password
        return Told("whose URL was given", f"the URL cannot be read ({type(error).__name__}): {ESCAPED}")
    told: SimpleQueue[Mapping[str, Answer] | Exception] = SimpleQueue()
    Thread(target=_ask, args=(make, Asked(sorted(names), others=others), told), daemon=True).start()
    try:
        answers = told.get(timeout=PATIENCE)
    except Empty:
        return Told(place, f"it takes longer than {PATIENCE:g} s")
    if isinstance(answers, Exception):
        return Told(place, reason(answers).rstrip("."))
    return Told(place, lengths={name: each.length for name, each in answers.items() if isinstance(each, Figures)})


def _ask(make: Make, asked: Asked, told: SimpleQueue[Mapping[str, Answer] | Exception]) -> None:
    broker = Broker(make, WAIT, None, lambda *_: None)
    try:
        answers = dict(broker.ask(asked, time.monotonic() + PATIENCE))
        told.put(_refused(answers) or answers)
    except Exception as error:  # noqa: BLE001  a transport raises what its library raises
        told.put(error)
    finally:
        broker.close()


def _refused(answers: Mapping[str, Answer]) -> Exception | None:
    """Return an exception that every queue was answered with, as by a virtual transport whose broker is away."""
    refusals = [each for each in answers.values() if isinstance(each, Exception)]
    return refusals[-1] if refusals and len(refusals) == len(answers) else None


def _urls(make: Make) -> list[str]:
    """List the URLs of a broker and of those that stand in for it."""
    connection = make()
    urls = [str(url) for url in connection.alt or [connection.as_uri(include_password=True)]]
    for url in urls:
        keep_user(url)  # a library's error may quote it
    return urls


def _named(names: Iterable[str]) -> str:
    *first, last = [plain(name) for name in names] or ["none"]
    if len(first) >= MOST:
        first, last = first[: MOST - 1], f"{len(first) - MOST + 2} more"
    return f"{', '.join(first)} and {last}" if first else last
