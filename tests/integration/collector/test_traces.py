"""Traces: those of failed and slow tasks are kept, a share of the others, and nothing that was kept is lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.integration.collector.collector import Collector, running
from tests.integration.collector.conftest import secured_by
from tests.integration.collector.wire import Pusher, trace
from tests.integration.worker.harness import wait_until
from tests.otlp import http_receiver
from tests.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.otlp import Receiver

pytestmark = pytest.mark.xdist_group("collector-traces")

WAIT = 5
"""The seconds to a decision; README's default is 30."""


class Site(NamedTuple):
    """Two Collectors in a ring, what pushes to each, and the back end that both send to."""

    collectors: list[Collector]
    doors: list[Pusher]
    backend: Receiver

    def decided(self) -> float:
        """Count the traces that were decided upon."""
        return self._sum("global_count_traces_sampled_total")

    def are_decided(self, number: float) -> bool:
        """Tell whether so many were decided upon, and none waits any more."""
        return self.decided() >= number and not self._sum("sampling_traces_on_memory")

    def _sum(self, name: str) -> float:
        scrapes = [collector.scrape("TELEMETRY") for collector in self.collectors]
        return sum(scrape.value(f"otelcol_processor_tail_sampling_{name}") for scrape in scrapes)


@pytest.fixture(scope="module")
def ring(otelcol: str, credentials: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start two Collectors that keep none of the traces that nothing is the matter with."""
    with http_receiver() as backend:
        environment = {**settings(credentials, backend.url), "OTELCOL_SAMPLING_PERCENT": "0"}
        names = ("first", "second")
        collectors = [Collector(otelcol, "traces", tmp_path_factory.mktemp(name), environment) for name in names]
        members = ", ".join(f"localhost:{collector.ports['RING']}" for collector in collectors)
        try:
            for collector in collectors:
                collector.environ["OTELCOL_RING_MEMBERS"] = f"[{members}]"
                collector.start()
            yield Site(collectors, [door(collector, credentials) for collector in collectors], backend)
        finally:
            for collector in collectors:
                collector.kill()


def settings(credentials: Path, url: str) -> dict[str, str]:
    """Say where the back end is, and decide soon."""
    return {
        **secured_by(credentials),
        "OTELCOL_TRACES_URL": url,
        "OTELCOL_TRACES_TOKEN": "for-the-back-end",
        "OTELCOL_DECISION_WAIT": f"{WAIT}s",
    }


def door(collector: Collector, credentials: Path) -> Pusher:
    """Give what pushes to a Collector."""
    return Pusher(collector, credentials / "server.pem", (credentials / "token").read_text().strip())


def names(backend: Receiver) -> set[str]:
    """List the names of the spans that arrived."""
    return {span.name for span in backend.spans()}


def push_in_parts(site: Site, number: int, name: str, **how: Any) -> None:
    """Push a trace as it comes about: the publisher's span by one door, the run's by the other."""
    assert site.doors[0].push(trace(number, name, run=False, **how)) == 200
    assert site.doors[1].push(trace(number, name, publish=False, **how)) == 200


def test_keeps_failures_retries_and_slow_tasks_only(ring):
    """Of 60 good traces and one each that failed, was retried and was slow, just those three arrive, and whole."""
    before = ring.decided()
    for number in range(1, 61):
        push_in_parts(ring, number, "good")
    push_in_parts(ring, 100, "failed", failed=True)
    push_in_parts(ring, 101, "retried", retried=True)
    push_in_parts(ring, 102, "slow", seconds=11)
    wait_until(lambda: ring.are_decided(before + 63), "all are decided", 60)
    whole = {f"{part}/{name}" for part in ("apply_async", "run") for name in ("failed", "retried", "slow")}
    wait_until(lambda: names(ring.backend) >= whole, "what is kept has arrived")
    assert names(ring.backend) == whole
    assert ring.backend.requests[0].headers["authorization"] == "Bearer for-the-back-end"


def test_keeps_a_failure_that_comes_late(ring):
    """A task that fails long after its publisher's trace was dropped is kept; one that ends well then is not."""
    wait_until(lambda: ring.are_decided(0), "nothing waits")
    for first in (200, 250):  # the last trace that a Collector dropped is forgotten only when it drops another one
        before = ring.decided()
        for number in range(first, first + 10):
            assert ring.doors[0].push(trace(number, "late", run=False)) == 200
        wait_until(partial(ring.are_decided, before + 10), "they are dropped", 60)
    for number in range(200, 210):
        assert ring.doors[1].push(trace(number, f"late.{number}", publish=False, failed=number == 203)) == 200
    wait_until(lambda: "run/late.203" in names(ring.backend), "the failure has arrived")
    assert not {"apply_async/late", "run/late.204", "run/late.208"} & names(ring.backend)


def test_keeps_the_late_spans_of_what_it_keeps(ring):
    """A span that comes after its trace was kept goes the same way, though nothing is the matter with it."""
    assert ring.doors[0].push(trace(300, "kept", failed=True)) == 200
    wait_until(lambda: "run/kept" in names(ring.backend), "the trace is kept")
    assert ring.doors[1].push(trace(300, "kept.later", publish=False)) == 200
    wait_until(lambda: "run/kept.later" in names(ring.backend), "so is what comes later")


def test_keeps_a_share_of_the_rest(otelcol, credentials, tmp_path):
    """With a quarter asked for, some of 80 good traces arrive, and most do not; which, the trace's id decides."""
    with http_receiver() as backend:
        environment = {**settings(credentials, backend.url), "OTELCOL_SAMPLING_PERCENT": "25"}
        with running(otelcol, "traces", tmp_path, environment) as collector:
            site = Site([collector], [door(collector, credentials)] * 2, backend)
            for number in range(1, 81):
                assert site.doors[0].push(trace(number, f"good.{number}")) == 200
            wait_until(lambda: site.are_decided(80), "all are decided", 60)
            wait_until(lambda: names(backend), "some arrive")
            collector.stop()  # flushes
            assert 8 <= len({span.data.trace_id for span in backend.spans()}) <= 40


def test_keeps_on_disk_what_it_has_chosen(otelcol, credentials, tmp_path):
    """A trace that was chosen while the back end was away arrives when it is back, though the Collector was killed."""
    port = free_port()
    environment = settings(credentials, f"http://{LOOPBACK}:{port}")
    with running(otelcol, "traces", tmp_path, environment) as collector:
        assert door(collector, credentials).push(trace(1, "failed", failed=True)) == 200
        wait_until(lambda: waiting(collector) == 2, "both spans wait on disk")
        collector.kill()
        collector.start()
        with http_receiver(port=port) as backend:
            wait_until(lambda: names(backend) == {"apply_async/failed", "run/failed"}, "they arrive", 60)


def waiting(collector: Collector) -> float:
    """Tell how many spans wait for the back end."""
    return collector.scrape("TELEMETRY").value("otelcol_exporter_queue_size", exporter="otlp_http")
