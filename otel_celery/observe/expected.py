"""Find the tasks that this worker may receive, and the queue of each.

Their counters start at zero, so that a first failure shows in ``increase()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_celery.observe import plain
from otel_celery.routing import Routing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def expected(app: Any, consumed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and queue label of each registered task whose route leads to a consumed queue.

    Celery's own ``celery.*`` tasks are left out, and tasks whose route cannot be determined.
    """
    labels = {queue.name: label for label, queue in consumed.items()}
    routing = Routing(app)
    tasks = {plain.text(name): task for name, task in list(app.tasks.items())}
    for name in sorted(name for name in tasks if name is not None and not name.startswith("celery.")):
        queue = routing.queue_of(tasks[name])
        if queue is not None and queue.name in labels:
            yield name, labels[queue.name]
