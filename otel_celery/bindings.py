"""Tell a queue's label, and by the queues' bindings which queue an exchange routes a message to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_celery.lifecycle import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def bound(queues: Iterable[tuple[str, Any]], exchange: str, routing_key: str) -> str:
    """Return the label of the one queue that is bound for such messages; ``other`` if there is none, or several.

    ``queues`` are pairs of label and kombu's Queue.
    """
    found = [name for name, queue in queues if _is_bound(queue, exchange, routing_key)]
    return found[0] if len(found) == 1 else OTHER


def label(queue: Any) -> str:
    """Return a Broadcast queue's alias, else the queue's name.

    The name of a Broadcast queue is ``bcast.<uuid>``, new for every worker and restart.
    """
    return str(getattr(queue, "alias", None) or queue.name)


def _is_bound(queue: Any, exchange: str, routing_key: str) -> bool:
    return any(
        source.name == exchange and _matches(source.type, pattern or "", routing_key)
        for source, pattern in _bindings(queue)
    )


def _bindings(queue: Any) -> Iterator[tuple[Any, str]]:
    if queue.exchange:
        yield queue.exchange, queue.routing_key
    for binding in queue.bindings or ():
        yield binding.exchange, binding.routing_key


def _matches(exchange_type: str, pattern: str, routing_key: str) -> bool:
    if exchange_type == "fanout":
        return True
    if exchange_type == "topic":
        return _topic_matches(pattern.split("."), routing_key.split("."))
    return pattern == routing_key


def _topic_matches(pattern: list[str], words: list[str]) -> bool:
    """Match as AMQP's topic exchange does: ``*`` stands for one word, ``#`` for any number of them."""
    if not pattern:
        return not words
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(_topic_matches(rest, words[skip:]) for skip in range(len(words) + 1))
    return bool(words) and head in {"*", words[0]} and _topic_matches(rest, words[1:])
