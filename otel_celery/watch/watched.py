"""One endpoint that is watched: its last page, or why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.watch import families
from otel_celery.watch.exposition import Exposition
from otel_celery.watch.families import Node

if TYPE_CHECKING:
    from otel_celery.watch.asking import Answer
    from otel_celery.watch.endpoints import Endpoint
    from otel_celery.watch.exposition import Series
    from otel_celery.watch.families import Key
    from otel_celery.watch.totals import Totals

NOT_OURS = "what answers is not otel-celery; its page has none of the metrics"


class Watched:
    """An endpoint, since it was found."""

    def __init__(self, endpoint: Endpoint, totals: Totals, since: float) -> None:
        """Watch it since a moment, in seconds since the epoch, and add what rises to the totals."""
        self.endpoint = endpoint
        self.page = Exposition(families.WANTED, self._meet)
        self.why = ""
        """Why there is no page now; empty if there is one."""
        self.is_foreign = False
        """Whether something else answers now, which was never ours."""
        self.is_asked = False
        """Whether it has answered, or failed to, at least once."""
        self.has_answered_before = False
        """Whether it answered the time before, too."""
        self.nodes: tuple[Node, ...] = ()
        """The workers of the last page."""
        self._totals = totals
        self._since = since

    @property
    def is_ours(self) -> bool:
        """Tell whether its last page has metrics of ours."""
        return self.page.has_any(families.OURS)

    @property
    def is_worker(self) -> bool:
        """Tell whether a worker is expected there: it told of one, or was not said to be something else."""
        return bool(self.nodes) or (self.endpoint.is_worker and not (self.page.scrapes and self.is_ours))

    def take(self, answer: Answer) -> None:
        """Take what it said."""
        if self.is_asked and bool(answer.why) != bool(self.why):
            self._totals.add([("changes", self.endpoint.url)], 1)
        self.has_answered_before = self.is_asked and not self.why
        self.is_asked, self.why = True, answer.why
        self.is_foreign = answer.is_foreign and not self.is_ours
        if answer.why:
            return
        starts = self.page.starts
        for series, rise in self.page.read(answer.body, self._since):
            if series.keys:
                self._totals.add(series.keys, rise)
        self._totals.add([("starts", self.endpoint.url)], self.page.starts - starts)
        self.nodes = tuple(self.node(series.labels.get("worker", "")) for series in self.page[families.UP])
        if not self.is_ours:
            self.why, self.is_foreign = NOT_OURS, True

    def node(self, worker: str) -> Node:
        """Name a worker of this endpoint."""
        pool = self.endpoint.pool or worker.partition("@")[0] or self.endpoint.address
        return Node(self.endpoint.url, worker, pool)

    def values(self, name: str) -> dict[str, float]:
        """Give the values of a family, by worker."""
        return {series.labels.get("worker", ""): series.value or 0.0 for series in self.page[name]}

    def by(self, name: str, label: str) -> list[tuple[str, str, float]]:
        """Give worker, label's value and value of each series of a family."""
        return [
            (series.labels.get("worker", ""), series.labels.get(label, ""), series.value or 0.0)
            for series in self.page[name]
        ]

    def _meet(self, series: Series) -> tuple[Key, ...]:
        route = families.RISES.get(series.name)
        if route is None:
            return ()
        keys = route(self.node(series.labels.get("worker", "")), series.labels)
        if series.name.endswith("_bucket"):  # a counter may have a label of the name `le` as well
            for key in keys:
                self._totals.meet(key)
        return keys
