"""A worker's levels as a test writes them down, and a registry read as a scrape reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from otel_celery.catalogue import BUCKETS, SCOPE
from otel_celery.record.foreign import ForeignMetrics
from otel_celery.record.recording import Recording
from otel_celery.record.refusals import Refusals
from otel_celery.settings.settings import Bounds, Port, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric
    from prometheus_client.samples import Sample


@dataclass
class FakeLevels:
    """The levels of a worker that is ready, connected and idle, unless the test says otherwise."""

    is_up: bool = True
    is_draining: bool = False
    is_connected: bool = True
    is_consuming: bool = True
    looped_at: float | None = 1_000.5
    stall: float | None = 0.25
    running: int = 0
    ages: dict[str, float] = field(default_factory=dict)
    names: list[str] = field(default_factory=lambda: ["celery"])
    described: dict[str, str] = field(
        default_factory=lambda: {
            "pool_kind": "prefork",
            "concurrency": "4",
            "celery_version": "5.7.0",
            "otel_celery_version": "0.1.0",
        }
    )

    def up(self) -> bool:
        """Be up."""
        return self.is_up

    def draining(self) -> bool:
        """Be draining."""
        return self.is_draining

    def active(self) -> int:
        """Run tasks."""
        return self.running

    def reserved(self) -> int:
        """Hold two requests that wait for a slot."""
        return 2

    def scheduled(self) -> int:
        """Hold three requests for their ETA."""
        return 3

    def pool_size(self) -> int:
        """Have four slots."""
        return 4

    def oldest_active(self) -> dict[str, float]:
        """Tell the ages."""
        return self.ages

    def last_loop(self) -> float | None:
        """Tell when the loop turned."""
        return self.looped_at

    def loop_stall(self) -> float | None:
        """Tell for how long the loop has stood still."""
        return self.stall

    def consuming(self) -> bool:
        """Consume, or not."""
        return self.is_consuming

    def broker_connected(self) -> bool:
        """Be connected."""
        return self.is_connected

    def queues(self) -> list[str]:
        """Name the queues."""
        return self.names

    def info(self) -> dict[str, str]:
        """Describe the worker."""
        return self.described


class FailingLevels(FakeLevels):
    """Levels of which one raises."""

    def active(self) -> int:
        """Fail."""
        raise LookupError("no such pool")


def recording(
    bounds: Bounds | None = None, levels: FakeLevels | None = None, buckets: tuple[float, ...] = BUCKETS
) -> Recording:
    """Open the books of ``w@h``, with a registry of their own."""
    opened = Recording(Settings(Port(), bounds=bounds or Bounds(), buckets=buckets), "w@h", "proj")
    opened.register(levels or FakeLevels())
    return opened


def only_foreign() -> ForeignMetrics:
    """Clean as always, and count nothing; ours is the meter of our name without a version, as tests make it."""
    return ForeignMetrics(InstrumentationScope(SCOPE), 200, refusals())


def refusals() -> Refusals:
    """Count nothing."""
    return Refusals(lambda _reason, _number: None)


def scrape(registry: CollectorRegistry, encode: Callable[[CollectorRegistry], bytes] = generate_latest) -> str:
    """Render a registry."""
    return encode(registry).decode("utf-8")


def families(registry: CollectorRegistry) -> dict[str, Metric]:
    """Render a registry and parse it again, as Prometheus would; ours alone, by the names of their samples."""
    parsed = {}
    for family in text_string_to_metric_families(scrape(registry)):
        if family.name.startswith(("celery_", "otel_celery_")):
            parsed[family.name + ("_total" if family.type == "counter" else "")] = family
    return parsed


def samples(registry: CollectorRegistry, name: str) -> list[Sample]:
    """Scrape one family's samples."""
    family = families(registry).get(name)
    return list(family.samples) if family is not None else []


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    """Scrape the one sample that has these labels among its own; None where there is none."""
    wanted = labels.items()
    found = [
        sample.value for sample in samples(registry, name) if sample.name == name and wanted <= sample.labels.items()
    ]
    assert len(found) < 2, f"{name} has {len(found)} samples with {labels}"
    return float(found[0]) if found else None
