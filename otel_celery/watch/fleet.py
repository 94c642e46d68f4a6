"""Watch a fleet: look at all its endpoints, again and again, and tell each time what there is."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from otel_celery.lifecycle import Outcome
from otel_celery.watch import detail, families, telling
from otel_celery.watch.alerts import read
from otel_celery.watch.consumed import Consumed
from otel_celery.watch.model import Note, State, View
from otel_celery.watch.problems import Problems
from otel_celery.watch.roster import NO_ENDPOINT, Roster
from otel_celery.watch.scene import GROWING, Scene
from otel_celery.watch.totals import Totals
from otel_celery.watch.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otel_celery.watch.asking import Asker
    from otel_celery.watch.detail import Detail
    from otel_celery.watch.endpoints import Endpoint
    from otel_celery.watch.families import Key
    from otel_celery.watch.model import Queue, Worker
    from otel_celery.watch.sources import Source

FIND_EVERY = 30.0
"""Seconds between two questions to the sources of endpoints."""
RECENT = 60
"""Looks that a sparkline shows."""
STUCK = "CeleryWorkerStuck"
NOT_ANSWERING = "NotAnswering"
SILENT = "See that it runs, and that this host may reach it."
"""What to do where an endpoint without workers does not answer."""
STATUSES = tuple(outcome.value for outcome in Outcome)
QUARTER = 900.0
APART = 15.0
"""Seconds for which a queue's lengths are kept, and how far apart."""


class Fleet:
    """A watch over endpoints. All its methods are for one event loop."""

    def __init__(
        self,
        sources: Sequence[Source],
        asker: Asker,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Watch the endpoints that the sources tell; ``clock`` is monotonic, ``wall`` since the epoch."""
        self._roster = Roster(sources)
        self._asker = asker
        self._clock, self._wall = clock, wall
        self._alerts = read()
        self._problems = Problems(self._alerts)
        self._begun, self._since = clock(), wall()
        self.totals = Totals(self._begun)
        self.watched: dict[str, Watched] = {}
        """The endpoints by their URLs."""
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._finding: asyncio.Task[None] | None = None
        self._found_at: float | None = None
        self._stall = self._alerts[STUCK].limits[0]
        self._looked_at = self._begun
        self._recents: dict[Key, Recent] = {}
        self._lengths: dict[str, Lengths] = {}
        self._consumed = Consumed()

    async def look(self, patience: float | None = None) -> View:
        """Ask every endpoint, and tell the fleet after ``patience`` seconds, or when all have answered or failed.

        An endpoint that takes longer goes on being asked, and is told as it was, until it answers or fails.
        """
        await self._find()
        for url, watched in self.watched.items():
            if url not in self._asking:
                self._asking[url] = asyncio.create_task(self._ask(watched))
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=patience)
        for url in [url for url, task in self._asking.items() if task.done()]:
            self._asking.pop(url).result()
        return self._view()

    def worker(self, url: str, name: str) -> Detail | None:
        """Look closely at one worker; None if its endpoint is no longer watched."""
        watched = self.watched.get(url)
        return detail.of_worker(watched, self.totals, name) if watched else None

    def task(self, pool: str, name: str) -> Detail:
        """Look closely at one task of a pool."""
        return detail.of_task(self.watched.values(), self.totals, pool, name)

    async def close(self) -> None:
        """Let go of every question that is still open."""
        tasks = [*self._asking.values(), *([self._finding] if self._finding else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, watched: Watched) -> None:
        watched.take(await self._asker.ask(watched.endpoint))

    async def _find(self) -> None:
        """Ask the sources: the first time before anything else, later beside it."""
        is_first = self._found_at is None
        if is_first or self._clock() - (self._found_at or 0) >= FIND_EVERY:
            self._found_at = self._clock()
            if self._finding is None or self._finding.done():
                self._finding = asyncio.create_task(self._find_all())
        if is_first and self._finding is not None:
            await self._finding

    async def _find_all(self) -> None:
        self._settle(await self._roster.find())

    def _settle(self, endpoints: dict[str, Endpoint]) -> None:
        """Let go of what no source tells any more, and watch what is told; one whose pool or login changed, anew."""
        known = {url: watched.endpoint for url, watched in self.watched.items()}
        for url in [url for url, endpoint in known.items() if endpoints.get(url) != endpoint]:
            del self.watched[url]
            if task := self._asking.pop(url, None):
                task.cancel()
        for url, endpoint in endpoints.items():
            if url not in self.watched:
                since = self._wall() if url in known else self._since  # what it told before is not counted twice
                self.watched[url] = Watched(endpoint, self.totals, since)

    def _view(self) -> View:
        at, now = self._clock(), self._wall()
        watched = list(self.watched.values())
        answered = [each for each in watched if each.is_asked and not each.why]
        self.totals.keep(at)
        workers = telling.workers(watched, self.totals, self._stall)
        seconds = at - self._looked_at
        self._looked_at = at
        self._weigh(workers, seconds)
        self._miss(watched)
        tasks = telling.tasks(watched, self.totals)
        queues = telling.queues(watched, self.totals, workers)
        beats = telling.beats(watched, self.totals, now)
        self._consumed.add(watched)
        growth = self._growth(queues, at)
        scene = Scene(self._alerts, watched, self.totals, workers, tasks, queues, beats, self._consumed, growth, now)
        return View(
            at=now,
            watched=at - self._begun,
            workers=tuple(replace(w, recent=self._recent(("ends", w.url, w.name), seconds)) for w in workers),
            tasks=tuple(replace(t, recent=self._recent(("task ends", t.pool, t.name), seconds)) for t in tasks),
            queues=tuple(queues),
            beats=tuple(beats),
            problems=tuple(self._problems.judge(scene, at)),
            notes=tuple(self._notes(watched)) or (() if watched else (NO_ENDPOINT,)),
            asked=len(watched),
            answered=len(answered),
            runbook=next((place for each in answered if (place := each.endpoint.runbook)), ""),
        )

    def _weigh(self, workers: Iterable[Worker], seconds: float) -> None:
        """Add up how many slots were busy, of how many, for how long."""
        for worker in workers:
            size = worker.size or 0
            if worker.active is not None and size > 0 and worker.state is not State.DRAINING:
                self.totals.add([("busy", worker.pool)], worker.active * seconds)
                self.totals.add([("slots", worker.pool)], size * seconds)

    def _miss(self, watched: Iterable[Watched]) -> None:
        """Count the looks at which a worker had no broker."""
        for each in watched:
            for worker, is_connected in [] if each.why else each.values(families.CONNECTED).items():
                if not is_connected:
                    self.totals.add([("unconnected", each.endpoint.url, worker)], 1)

    def _recent(self, owner: Key, seconds: float) -> tuple[float, ...]:
        """Tell an owner's ended tasks a second at the last looks, this one included."""
        total = sum(self.totals.total((*owner, status)) for status in STATUSES)
        recent = self._recents.get(owner)
        if recent is None:
            recent = self._recents[owner] = Recent(total)
        return recent.add(total, seconds)

    def _growth(self, queues: Iterable[Queue], at: float) -> dict[str, float]:
        """Tell by how many messages a second each queue has grown, over a quarter of an hour or what was watched."""
        return {
            queue.name: growth
            for queue in queues
            if queue.length is not None
            if (growth := self._lengths.setdefault(queue.name, Lengths()).growth(at, queue.length))
        }

    def _notes(self, watched: Iterable[Watched]) -> Iterator[Note]:
        """Say what no line of a table can: of sources, and of endpoints without workers that do not answer."""
        yield from self._roster.notes()
        for each in watched:
            if each.why and not each.nodes and not each.is_worker:
                address = each.endpoint.address
                yield Note(NOT_ANSWERING, address, f"{address} gives no metrics: {each.why}", SILENT)


class Recent:
    """The last rates of one owner."""

    def __init__(self, total: float) -> None:
        """Begin with what was counted before."""
        self._total = total
        self._rates: deque[float] = deque(maxlen=RECENT)

    def add(self, total: float, seconds: float) -> tuple[float, ...]:
        """Add what was counted since; tell all."""
        if seconds > 0:
            self._rates.append(max(0.0, total - self._total) / seconds)
        self._total = total
        return tuple(self._rates)


class Lengths:
    """The last lengths of one queue."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lengths: deque[tuple[float, int]] = deque()

    def growth(self, at: float, length: int) -> float:
        """Add a length; tell by how much a second the queue has grown, 0 before that can be said."""
        if not self._lengths or at - self._lengths[-1][0] >= APART:
            self._lengths.append((at, length))
        while at - self._lengths[0][0] > QUARTER:
            self._lengths.popleft()
        seconds = at - self._lengths[0][0]
        return (length - self._lengths[0][1]) / seconds if seconds >= GROWING else 0.0
