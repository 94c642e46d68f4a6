"""Gateways: deltas that come in by any door are added up in one place, and nothing is lost while a part is away."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.integration.collector import readme
from tests.integration.collector.collector import Collector
from tests.integration.collector.conftest import secured_by
from tests.integration.collector.store import VictoriaMetrics
from tests.integration.collector.wire import SECOND, Pusher, cumulative, delta
from tests.integration.worker.harness import wait_until
from tests.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("collector-gateway")

RECEIVED = "celery_task_received_total"


class Ring(NamedTuple):
    """Two gateways that know each other, and the store that both write to."""

    first: Collector
    second: Collector
    store: VictoriaMetrics
    doors: list[Pusher]


@pytest.fixture(scope="module")
def ring(otelcol: str, credentials: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ring]:
    """Start two gateways and a store."""
    directories = [tmp_path_factory.mktemp(name) for name in ("first", "second", "store")]
    store = VictoriaMetrics(directories[2])
    environment = {**secured_by(credentials), "OTELCOL_REMOTE_WRITE_URL": store.write_url}
    first = Collector(otelcol, "gateway", directories[0], environment)
    second = Collector(otelcol, "gateway", directories[1], environment)
    for gateway in (first, second):
        gateway.environ["OTELCOL_RING_MEMBERS"] = f"[localhost:{first.ports['RING']}, localhost:{second.ports['RING']}]"
    with store.running():
        try:
            first.start()
            second.start()
            yield Ring(first, second, store, [door(first, credentials), door(second, credentials)])
        finally:
            first.kill()
            second.kill()


def door(gateway: Collector, credentials: Path) -> Pusher:
    """Give what pushes to a gateway."""
    return Pusher(gateway, credentials / "server.pem", (credentials / "token").read_text().strip())


class Began:
    """When the test's first moment was, in nanoseconds: a store does not find what is minutes old."""

    at = 0


@pytest.fixture(autouse=True)
def _a_minute_ago() -> None:
    """Begin anew with each test, whenever in a long run it comes."""
    Began.at = time.time_ns() - 60 * SECOND


def moment(seconds: float) -> int:
    """Give a time in nanoseconds, so many seconds from the test's first one, which is a minute ago."""
    return Began.at + int(seconds * SECOND)


def test_deltas_become_sums_whichever_gateway_takes_them(ring):
    """Deltas of 40 tasks, pushed to two gateways in turn, are in the store as their sums, each owned by one gateway."""
    tasks = {f"turn.{number}": number + 1 for number in range(40)}
    for turn in range(6):
        pusher = ring.doors[turn % 2]
        assert pusher.push(delta(tasks, since=moment(turn), until=moment(turn + 1))) == 200
        # A gateway may not overtake the other one, as a worker would not that pushes every 10 s.
        wait_until(partial(written, ring.store, "turn.39", (turn + 1) * 40), f"push {turn} is written")
    for task, value in tasks.items():
        assert ring.store.value(f'{RECEIVED}{{task_name="{task}"}}') == 6 * value
    owned = [tracked(gateway) for gateway in (ring.first, ring.second)]
    assert sum(owned) == 40
    assert all(owned), "the streams are spread"


def test_sums_pass_as_they_are(ring):
    """Cumulative counts, the default, arrive unchanged and take none of delta_to_cumulative's memory."""
    before = tracked(ring.first) + tracked(ring.second)
    for turn, value in enumerate((5, 9, 9, 12)):
        message = cumulative({"kept": value}, since=moment(0), until=moment(turn + 1))
        assert ring.doors[turn % 2].push(message) == 200
        wait_until(partial(written, ring.store, "kept", value), f"{value} is written")
    assert tracked(ring.first) + tracked(ring.second) == before


def test_says_whose_series_it_is(ring):
    """The store's job and instance are the worker's service.name and service.instance.id, not a gateway's."""
    assert ring.doors[0].push(cumulative({"whose": 1}, since=moment(0), until=moment(50))) == 200
    wait_until(lambda: written(ring.store, "whose", 1), "it is written")
    (row,) = ring.store.query(f'{RECEIVED}{{task_name="whose"}}')
    assert row["labels"] == {
        "__name__": RECEIVED,
        "job": "proj",
        "instance": "w@localhost",
        "worker": "w@localhost",
        "task_name": "whose",
        "queue": "celery",
    }


def test_keeps_on_disk_what_it_has_accepted(otelcol, credentials, tmp_path):
    """What was accepted while the store was away is written, in order, by a gateway that was killed meanwhile."""
    store = VictoriaMetrics(tmp_path)
    environment = {**secured_by(credentials), "OTELCOL_REMOTE_WRITE_URL": store.write_url}
    gateway = Collector(otelcol, "gateway", tmp_path, environment)
    pusher = door(gateway, credentials)
    try:
        gateway.start()
        for turn, value in enumerate((5, 5)):
            assert pusher.push(delta({"kept": value}, since=moment(turn), until=moment(turn + 1))) == 200
            wait_until(partial(is_waiting, gateway, turn + 1), "it waits on disk")
        gateway.kill()
        gateway.start()
        assert pusher.push(delta({"kept": 7}, since=moment(2), until=moment(3))) == 200
        with store.running():
            wait_until(lambda: written(store, "kept", 7), "the last one is written", 60)
            # 7 is a counter's reset: what delta_to_cumulative adds up is in memory. increase() is 17 all the same.
            assert values(store, "kept") == [5, 10, 7]
            gateway.stop()
    finally:
        gateway.kill()


def test_waits_for_a_member_that_is_away(ring):
    """Streams of a member that is stopped wait on the disk of the one that took them, and arrive when it is back."""
    tasks = {f"away.{number}": 3 for number in range(40)}
    ring.second.stop()
    try:
        assert ring.doors[0].push(cumulative(tasks, since=moment(0), until=moment(55))) == 200
        wait_until(lambda: ring.store.query(f'{RECEIVED}{{task_name=~"away.*"}}'), "what the first one owns is written")
        assert len(ring.store.query(f'{RECEIVED}{{task_name=~"away.*"}}')) < 40
    finally:
        ring.second.start()
    wait_until(lambda: len(ring.store.query(f'{RECEIVED}{{task_name=~"away.*"}}')) == 40, "all are written", 60)


def test_waits_for_a_store_that_is_over_its_limits(otelcol, credentials, tmp_path):
    """With the feature gate that README names, what a store answered with 429 is sent again until it is taken."""
    gate = re.search(r"`(--feature-gates=[\w.]+)`", readme.TEXT)
    assert gate
    with over_its_limits(times=2) as (url, answers):
        environment = {**secured_by(credentials), "OTELCOL_REMOTE_WRITE_URL": url}
        gateway = Collector(otelcol, "gateway", tmp_path, environment)
        gateway.command.append(gate[1])
        try:
            gateway.start()
            assert door(gateway, credentials).push(cumulative({"limited": 1}, since=moment(0), until=moment(1))) == 200
            wait_until(lambda: answers == [429, 429, 204], "the third one is taken", 60)
        finally:
            gateway.kill()


@contextmanager
def over_its_limits(times: int) -> Iterator[tuple[str, list[int]]]:
    """Serve a store that answers 429 so many times, then takes what is written; give its URL, and what it answered."""
    answers: list[int] = []

    class Store(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            answers.append(429 if len(answers) < times else 204)
            self.send_response(answers[-1])
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's signature
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{LOOPBACK}:{server.server_address[1]}/", answers
    server.shutdown()
    server.server_close()


def written(store: VictoriaMetrics, task: str, value: float) -> bool:
    """Tell whether the store's newest value is this one."""
    return store.value(f'{RECEIVED}{{task_name="{task}"}}') == value


def values(store: VictoriaMetrics, task: str) -> list[float]:
    """List every sample that the store has of one task."""
    query = urllib.parse.urlencode({"match[]": f'{RECEIVED}{{task_name="{task}"}}'})
    with urllib.request.urlopen(f"{store.url}/api/v1/export?{query}", timeout=10) as answer:
        return [value for line in answer.read().splitlines() for value in json.loads(line)["values"]]


def tracked(gateway: Collector) -> float:
    """Tell how many streams a gateway adds up."""
    return gateway.scrape("TELEMETRY").value("otelcol_deltatocumulative_streams_tracked")


def is_waiting(gateway: Collector, points: int) -> bool:
    """Tell whether so many data points wait for the store."""
    return gateway.scrape("TELEMETRY").value("otelcol_exporter_queue_size", exporter="otlp_http/out") == points
