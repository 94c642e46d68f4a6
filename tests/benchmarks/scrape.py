"""What one scrape costs, beside prometheus_client's own instruments rendering the very same lines.

Both registries hold the same families, labels and values, which is checked line by line before anything is timed;
both are rendered by what its endpoint calls. Ours is rendered of an idle worker, in which nothing has changed since
the last scrape, and of a busy one, in which every task has run. The renderings are interleaved, each is measured in
CPU time of the thread, and the ratios are those of the medians, to native instruments without ``_created``.

    python -m tests.benchmarks.scrape --lines 1000 --lines 10000
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from itertools import count
from statistics import median
from typing import TYPE_CHECKING, Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from otel_celery.lifecycle import Limit, Outcome, Revocation
from otel_celery.record.recording import Recording
from otel_celery.serve.exposition import Exposition
from otel_celery.serve.formats import Formats
from otel_celery.settings.settings import Port, Settings
from tests.benchmarks.rig import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

TARGET = 1.0
TARGET_LINES = (1_000, 10_000)
ACCEPT = {
    "text": "text/plain;version=0.0.4",
    "openmetrics": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.5",
}
"""What a client says to get each format; Prometheus 3 asks for the second."""

RUNTIMES = (0.003, 0.02, 0.02, 0.07, 0.3, 0.3, 1.7, 12.5)


class FakeLevels:
    """A busy worker's levels; implements ``observers.WorkerLevels``."""

    def __init__(self, running: tuple[str, ...]) -> None:
        """Run these tasks."""
        self._running = running

    def up(self) -> bool:
        """Be up."""
        return True

    def draining(self) -> bool:
        """Consume."""
        return False

    def active(self) -> int:
        """Run one task in each slot."""
        return 4

    def reserved(self) -> int:
        """Have prefetched four a slot."""
        return 12

    def scheduled(self) -> int:
        """Hold some for their ETA."""
        return 3

    def pool_size(self) -> int:
        """Have four slots."""
        return 4

    def oldest_active(self) -> Mapping[str, float]:
        """Run the tasks that were named."""
        return {name: 1.5 + number for number, name in enumerate(self._running)}

    def last_loop(self) -> float:
        """Have turned at a fixed moment, so that two scrapes are the same."""
        return 1_800_000_000.25

    def loop_stall(self) -> float:
        """Stand still for a fixed time."""
        return 0.75

    def consuming(self) -> bool:
        """Consume."""
        return True

    def broker_connected(self) -> bool:
        """Be connected."""
        return True

    def queues(self) -> list[str]:
        """Consume two."""
        return ["celery", "reports"]

    def info(self) -> Mapping[str, str]:
        """Describe a prefork worker."""
        return {"pool_kind": "prefork", "concurrency": "4", "celery_version": "5.7.0", "otel_celery_version": "0"}


def recording(tasks: int) -> Recording:
    """Keep the books of a worker that has run this many different tasks, on all pages."""
    opened = Recording(Settings(Port()), "worker@host.example", "shop")
    names = [f"shop.orders.tasks.step_{number}" for number in range(tasks)]
    opened.register(FakeLevels(tuple(names[:4])))
    for number, name in enumerate(names):
        opened.tallies.task(name, "reports" if number % 3 == 0 else "celery")
    run(opened)
    return opened


def run(opened: Recording) -> None:
    """Run every task, so that nearly all series change."""
    for books in opened.tallies.tasks():
        for turn, runtime in enumerate(RUNTIMES):
            books.received(redelivered=turn == 0)
            books.started(runtime / 10)
            books.ended(Outcome.SUCCESS, runtime + 0.001, runtime)
        for outcome in (Outcome.FAILURE, Outcome.RETRY, Outcome.RETURNED):
            books.received(redelivered=False)
            books.ended(outcome, 0.25, None)
        books.raised("ConnectionError")
        books.revoked(Revocation.EXPIRED)
        books.timed_out(Limit.SOFT)


def of_about(lines: int) -> Recording:
    """Keep the books of as many tasks as make about this many lines."""
    one, two = (len(list(samples(recording(tasks).registry))) for tasks in (1, 2))
    each = two - one
    return recording(max(1, round((lines - (one - each)) / each)))


def samples(registry: CollectorRegistry) -> Iterator[str]:
    """Give the sample lines of an exposition, in order, but for the process's own, which change by the moment."""
    text = render(registry, "text")().decode()
    return (line for line in sorted(text.splitlines()) if not line.startswith(("#", "process_")))


def render(registry: CollectorRegistry, shape: str) -> Callable[[], bytes]:
    """Make what prometheus_client's own endpoint calls on a scrape."""
    encode, _ = Formats.negotiated(ACCEPT[shape])
    return lambda: encode(registry)


def render_ours(registry: CollectorRegistry, shape: str) -> Callable[[], bytes]:
    """Make what our endpoint calls on a scrape."""
    exposition = Exposition(lambda: registry, count().__next__)  # by its clock each rendering is a second old
    return lambda: exposition.rendering(ACCEPT[shape]).body


def mirrored(original: CollectorRegistry) -> CollectorRegistry:
    """Say the same with prometheus_client's own instruments, as an application would that used it directly."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for family in original.collect():
        if not family.name.startswith("process_"):
            _mirror(family, registry)
    return registry


def _mirror(family: Metric, registry: CollectorRegistry) -> None:
    labels = [name for name in family.samples[0].labels if name != "le"]
    if family.type == "info":
        Info(family.name, family.documentation, registry=registry).info(family.samples[0].labels)
    elif family.type == "histogram":
        bounds = list(dict.fromkeys(s.labels["le"] for s in family.samples if "le" in s.labels))
        _fill(Histogram(family.name, family.documentation, labels, registry=registry, buckets=bounds), family, labels)
    else:
        kind = Counter if family.type == "counter" else Gauge
        instrument: Any = kind(family.name, family.documentation, labels, registry=registry)
        for sample in family.samples:
            child = instrument.labels(**sample.labels) if labels else instrument
            child._value.set(sample.value)


def _fill(histogram: Histogram, family: Metric, labels: list[str]) -> None:
    """Set the buckets as they stand: counts that are cumulative in the exposition are not in the instrument."""
    below = 0.0
    position = 0
    for sample in family.samples:
        child: Any = histogram.labels(**{name: sample.labels[name] for name in labels})
        if sample.name.endswith("_bucket"):
            child._buckets[position].set(sample.value - below)
            below, position = sample.value, position + 1
        else:
            below, position = 0.0, 0
        if sample.name.endswith("_sum"):
            child._sum.set(sample.value)


def interleaved(
    renderings: Mapping[str, Callable[[], bytes]], rounds: int, before: Mapping[str, Callable[[], None]]
) -> dict[str, float]:
    """Give the median CPU seconds of each rendering, measured in turns; ``before`` some there is something to do."""
    taken: dict[str, list[float]] = {name: [] for name in renderings}
    for name in renderings:
        renderings[name]()  # the first one fills caches on either side
    for _ in range(rounds):
        for name, rendering in renderings.items():
            if name in before:
                before[name]()
            begun = time.thread_time()
            rendering()
            taken[name].append(time.thread_time() - begun)
    return {name: median(times) for name, times in taken.items()}


def measure(lines: int, shape: str, rounds: int) -> list[str]:
    """Compare one size in one format."""
    ours = of_about(lines)
    prometheus_client.enable_created_metrics()
    created = mirrored(ours.registry)
    prometheus_client.disable_created_metrics()
    plain = mirrored(ours.registry)
    said = list(samples(ours.registry))
    if said != list(samples(plain)):
        raise AssertionError("the two registries do not say the same")

    def with_created() -> bytes:
        prometheus_client.enable_created_metrics()
        try:
            return render(created, shape)()
        finally:
            prometheus_client.disable_created_metrics()

    busy = recording(len(ours.tallies.tasks()))
    renderings = {
        "idle": render_ours(ours.registry, shape),
        "busy": render_ours(busy.registry, shape),
        "plain": render(plain, shape),
        "created": with_created,
    }
    times = interleaved(renderings, rounds, {"busy": lambda: run(busy)})
    ratios = [times["idle"] / times["plain"], times["busy"] / times["plain"]]
    verdict = ("yes" if max(ratios) <= TARGET else "NO") if lines in TARGET_LINES else ""
    cells = [f"{len(said)}", shape, *(f"{times[name] * 1e3:.2f}" for name in renderings)]
    ours.close()
    busy.close()
    return [*cells, *(f"{ratio:.2f}" for ratio in ratios), verdict]


def profile(lines: int, shape: str, rounds: int) -> None:
    """Say where the time of our rendering goes."""
    ours = of_about(lines)
    rendering = render_ours(ours.registry, shape)
    rendering()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(rounds):
        rendering()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


def main() -> None:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, action="append", help="about how many samples (default: 100, 1000, 10000)")
    parser.add_argument("--format", choices=tuple(ACCEPT), action="append", help="which format (default: both)")
    parser.add_argument("--rounds", type=int, default=20, help="how many renderings of each (default: 20)")
    parser.add_argument("--profile", action="store_true", help="profile our rendering instead")
    options = parser.parse_args()
    sizes, shapes = options.lines or [100, 1_000, 10_000], options.format or list(ACCEPT)
    if options.profile:
        profile(sizes[-1], shapes[0], options.rounds)
        return
    rows = [measure(lines, shape, options.rounds) for shape in shapes for lines in sizes]
    times = ["idle ms", "busy ms", "native ms", "with _created ms"]
    head = ["lines", "format", *times, "idle", "busy", f"<= {TARGET}"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
