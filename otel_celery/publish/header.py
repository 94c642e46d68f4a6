"""Put the time of publishing on a message, so that its worker can tell for how long it has waited.

The header is always overwritten: a retry is published with the headers of the message that it retries.

RabbitMQ tells of a waiting message nothing but the ``timestamp`` that AMQP has for it, so that is set too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery import signals

from otel_celery.lifecycle import SENT_HEADER

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def stamp(producer: Any, message: Any, options: MutableMapping[str, Any]) -> None:
    """Put the header on the message that ``send_task_message`` is called with, and over AMQP the timestamp.

    Headers among the options win over those of the message, and may be the caller's own dictionary, which stays as it
    is. A timestamp of the caller's own stays too.
    """
    now = time.time()
    headers = options.get("headers")
    if headers and SENT_HEADER in headers:
        options["headers"] = {**headers, SENT_HEADER: now}
    else:
        message[0][SENT_HEADER] = now
    if _speaks_amqp(producer):
        options.setdefault("timestamp", int(now))


def _speaks_amqp(producer: Any) -> bool:
    connection = getattr(producer, "connection", None)
    return connection is not None and connection.transport.driver_type == "amqp"


def stamp_everything() -> None:
    """Put the header on the messages of every app of this process, where no app can be named."""
    signals.before_task_publish.connect(_on_publish, weak=False)


def stamp_nothing() -> None:
    """Undo :func:`stamp_everything`."""
    signals.before_task_publish.disconnect(_on_publish)


def _on_publish(headers: Any = None, **_: object) -> None:
    if type(headers) is dict:
        headers[SENT_HEADER] = time.time()
