"""Ask Redis itself: lengths over all priorities, the age of the oldest message, and who holds what unacknowledged.

Kombu keeps a queue as one list for each priority step, pushed on the left and popped on the right, and no empty list.
What was delivered is in one hash for all queues, as JSON that ends in the exchange and the routing key.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from otel_celery.queues.figures import MAX_FOUND, Figures, age, is_lasting

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from otel_celery.queues.figures import Answer, Asked, Trouble

AT_ONCE = 250
"""Queues asked for in one pipeline: some thousand commands, which hold up a server for a few milliseconds."""

SCANS, SCANNED = 20, 1_000
"""Steps that are taken in a refresh through the keys, and the keys in each: some milliseconds of the server's, whatever
else lives in the database. A longer walk goes on in the next refresh."""

MAX_UNACKED = 1_000
"""Unacknowledged messages that are read at most; beyond that their queues are not told."""

MAX_UNACKED_BYTES = 16 * 2**20
"""Their bytes at most: they are read with their bodies."""


class RedisAsker:
    """Asks over the connections of one of kombu's Redis channels, whose transport options it follows."""

    def __init__(self, channel: Any, trouble: Trouble) -> None:
        """Use this channel's connections, key prefix, priority steps and key names.

        ``trouble`` hears of a server that does not list its keys.
        """
        from redis import Redis  # noqa: PLC0415  kombu has imported it, and nobody else needs it

        self._channel = channel
        self._client = Redis(connection_pool=channel.pool)
        self._trouble = trouble
        self._cursor = 0
        self._walked: set[str] = set()
        self._found: set[str] = set()

    def ask(self, asked: Asked, until: float) -> Iterator[tuple[str, Answer]]:
        """Yield each queue's answer, a pipeline at a time."""
        unacked = self._unacked()
        names = iter(asked.names)
        while (some := list(islice(names, AT_ONCE))) and time.monotonic() < until:
            yield from self._some(some, asked.known, unacked)
        if asked.others:
            others = iter(sorted(self._bound_anywhere() - set(asked.names)))
            while (some := list(islice(others, AT_ONCE))) and time.monotonic() < until:
                yield from self._some(some, asked.known, unacked)

    def _some(
        self, names: Sequence[str], known: Container[str], unacked: Counter[str] | None
    ) -> Iterator[tuple[str, Answer]]:
        steps = {name: [self._list(name, step) for step in self._channel.priority_steps] for name in names}
        lengths = self._pipelined(("LLEN", key) for keys in steps.values() for key in keys)
        held = [key for key, length in zip(_flat(steps.values()), lengths, strict=True) if length and _told(length)]
        oldest = dict(zip(held, self._pipelined(("LINDEX", key, -1) for key in held), strict=True))
        at = iter(lengths)
        now = time.time()
        empty: list[str] = []
        for name, keys in steps.items():
            each = list(islice(at, len(keys)))
            wrong = next((length for length in each if not _told(length)), None)
            if wrong is not None:
                yield name, wrong if isinstance(wrong, Exception) else TypeError(type(wrong).__name__)
            elif sum(each) or name in known:
                ages = [found for key in keys if (found := _age(oldest.get(key), now)) is not None]
                count = None if unacked is None else unacked[name]
                yield name, Figures(sum(each), None, count, max(ages, default=None))
            else:
                empty.append(name)
        bound = self._bound(empty)
        for name in empty:
            yield name, Figures(0, None, None if unacked is None else unacked[name]) if name in bound else None

    def _list(self, name: str, step: int) -> str:
        return self._key(f"{name}{self._channel.sep}{step}" if step else name)

    def _key(self, name: str) -> str:
        return f"{self._channel.global_keyprefix}{name}"

    def _bound(self, names: Sequence[str]) -> set[str]:
        """Return those bound to the exchange of their own name, as Celery binds a queue that nobody has defined."""
        tables = self._pipelined(("SMEMBERS", self._table(name)) for name in names)
        return {
            name
            for name, table in zip(names, tables, strict=True)
            if not isinstance(table, Exception) and name in {queue for _, _, queue in self._bindings(table)}
        }

    def _bound_anywhere(self) -> set[str]:
        """Return the queues that kombu has bound to any exchange, as it does whenever it publishes to one."""
        try:
            self._walk()
        except Exception as error:  # noqa: BLE001  SCAN may be forbidden; what is named is told without it
            self._trouble("the list of the broker's queues", error)
        tables = self._pipelined(("SMEMBERS", key) for key in sorted(self._found))
        bound = {queue for table in tables if not isinstance(table, Exception) for *_, queue in self._bindings(table)}
        return set(islice(sorted(name for name in bound if is_lasting(name)), MAX_FOUND))

    def _walk(self) -> None:
        """Go on through the keys, and remember those that bind; forget those that a whole walk has not met."""
        for _ in range(SCANS):
            self._cursor, keys = self._client.scan(self._cursor, match=self._table("*"), count=SCANNED)
            met = {key.decode(errors="replace") if isinstance(key, bytes) else key for key in keys}
            for keys_met in (self._walked, self._found):
                keys_met.update(islice(met, max(0, MAX_FOUND - len(keys_met))))
            if not self._cursor:
                self._found, self._walked = self._walked, set()
                return

    def _table(self, exchange: str) -> str:
        return self._key(self._channel.keyprefix_queue % exchange)

    def _bindings(self, table: Iterable[bytes]) -> Iterator[tuple[str, str, str]]:
        for row in table:
            parts = row.decode(errors="replace").split(self._channel.sep)
            if len(parts) == 3:  # noqa: PLR2004  routing key, pattern, queue
                yield parts[0], parts[1], parts[2]

    def _unacked(self) -> Counter[str] | None:
        """Count the unacknowledged messages of each queue; None if they are too many, or lead to no single queue."""
        if not self._channel.ack_emulation:
            return None
        key = self._key(self._channel.unacked_key)
        (count,) = self._pipelined([("HLEN", key)])
        if not isinstance(count, int) or count > MAX_UNACKED:  # an error where the key is none of kombu's
            return None
        tags = self._client.hkeys(key)
        sizes = self._pipelined(("HSTRLEN", key, tag) for tag in tags)
        if len(tags) > MAX_UNACKED or sum(size for size in sizes if isinstance(size, int)) > MAX_UNACKED_BYTES:
            return None
        places = [_place(value) for value in (self._client.hmget(key, tags) if tags else ()) if value is not None]
        return self._led(places)

    def _led(self, places: Sequence[tuple[str, str]]) -> Counter[str] | None:
        """Count the queues that these exchanges and routing keys lead to."""
        exchanges = sorted({exchange for exchange, _ in places if exchange})
        found = self._pipelined(("SMEMBERS", self._table(exchange)) for exchange in exchanges)
        tables = {
            exchange: list(self._bindings(table))
            for exchange, table in zip(exchanges, found, strict=True)
            if not isinstance(table, Exception)
        }
        counted = Counter[str]()
        for exchange, routing_key in places:
            queues = {queue for *how, queue in tables.get(exchange, ()) if _leads(how, routing_key)}
            if not exchange:
                queues = {routing_key}
            if len(queues) != 1:
                return None
            counted.update(queues)
        return counted

    def _pipelined(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """Send commands at once, and return their answers, or the exception of one that was refused."""
        asked = list(commands)
        if not asked:
            return []
        with self._client.pipeline(transaction=False) as pipe:
            for command in asked:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call]
            return list(pipe.execute(raise_on_error=False))


def _flat(lists: Iterable[Sequence[str]]) -> list[str]:
    return [key for keys in lists for key in keys]


def _told(length: Any) -> bool:
    return isinstance(length, int)


def _age(message: Any, now: float) -> float | None:
    """Return a message's age, whatever it is: anybody may push onto the list."""
    try:
        return age(json.loads(message)["headers"], now)
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _place(value: bytes | str) -> tuple[str, str]:
    """Return the exchange and the routing key of an unacknowledged message; none if it is not kombu's."""
    try:
        _, exchange, routing_key = json.loads(value)
    except (ValueError, TypeError, RecursionError):
        return "?", ""
    return str(exchange or ""), str(routing_key or "")


def _leads(how: Sequence[str], routing_key: str) -> bool:
    """Tell whether a binding, by its key and its pattern, takes this routing key."""
    key, pattern = how
    if key == routing_key:
        return True
    try:
        return bool(pattern) and re.match(pattern, routing_key) is not None
    except re.error:
        return False
