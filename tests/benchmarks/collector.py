"""What a Collector costs: its memory and CPU for so many workers, each with 182 series, as the demo's trading pool.

``python -m tests.benchmarks.collector agent --workers 10 100 1000`` starts the Collector of collector/manifest.yaml
from agent.yaml (or gateway.yaml, with or without ``--delta``) for each number, pushes as that many workers would, and
prints what it took. Remote write ends in a sink that takes everything, or with ``--prometheus`` in Debian's Prometheus,
whose memory is printed as well. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_celery.catalogue import BUCKETS
from tests import tools
from tests.integration.collector import readme
from tests.integration.collector.collector import running
from tests.integration.collector.conftest import secured_by
from tests.integration.collector.store import Prometheus
from tests.integration.collector.wire import SECOND, Pusher, attribute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.collector.collector import Collector

TASKS = 2
COUNTERS = 20
"""Counters and gauges a task."""
HISTOGRAMS = 3
OWN = 34
"""Counters and gauges a worker."""
SERIES = OWN + TASKS * (COUNTERS + HISTOGRAMS * (len(BUCKETS) + 3))


def main() -> None:
    """Measure one file at several sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", choices=("agent", "gateway"))
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--interval", type=float, default=15.0, help="seconds between two pushes of a worker")
    parser.add_argument("--rounds", type=int, default=8, help="pushes a worker")
    parser.add_argument("--delta", action="store_true", help="push deltas, which the gateway adds up")
    parser.add_argument("--prometheus", action="store_true", help="write to a real Prometheus")
    chosen = parser.parse_args()
    print(f"{SERIES} series a worker, a push each {chosen.interval:g} s, {chosen.rounds} times")
    for workers in chosen.workers:
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            store = stack.enter_context(Prometheus(Path(directory)).running()) if chosen.prometheus else None
            url = store.write_url if store else stack.enter_context(_sink())
            environment = {"OTELCOL_REMOTE_WRITE_URL": url, "OTELCOL_MEMORY_MIB": "8000"}
            _measure(chosen, workers, Path(directory), environment)
            if store and store.process:
                series = store.value('count({__name__!=""})')
                print(f"Prometheus: {series:.0f} series, {_resident(store.process.pid):.0f} MiB", flush=True)


def _measure(chosen: argparse.Namespace, workers: int, directory: Path, environment: dict[str, str]) -> None:
    subprocess.run(["sh", "-euc", readme.block("credentials")], cwd=directory, check=True, capture_output=True)
    program = tools.find("otelcol-celery")
    assert program, "python -m tests.tools collector"
    with running(program, chosen.file, directory, {**environment, **secured_by(directory)}) as collector:
        idle = _resident(collector.pid)
        pusher = Pusher(collector)
        if chosen.file == "gateway":
            pusher = Pusher(collector, directory / "server.pem", (directory / "token").read_text().strip())
        began, cpu, peak = time.monotonic(), _cpu(collector), 0.0
        refused = 0
        for turn in range(chosen.rounds):
            until = began + (turn + 1) * chosen.interval
            with ThreadPoolExecutor(8) as threads:
                statuses = threads.map(lambda n: pusher.push(_push(n, turn, chosen)), range(workers))  # noqa: B023
                refused += sum(status != 200 for status in statuses)
            while time.monotonic() < until:
                peak = max(peak, _resident(collector.pid))
                time.sleep(0.1)
        took = time.monotonic() - began
        used = (_cpu(collector) - cpu) / took
        rate = workers * SERIES * chosen.rounds / took
        print(
            f"{chosen.file}{' delta' if chosen.delta else ''}: {workers} workers, {workers * SERIES} series, "
            f"{rate:.0f} samples/s: {idle:.0f} MiB idle, {peak:.0f} MiB peak, {used:.2f} cores, {refused} refused",
            flush=True,
        )


def _push(worker: int, turn: int, chosen: argparse.Namespace) -> ExportMetricsServiceRequest:
    """Make what one worker says, with values that change from push to push."""
    dice = random.Random(worker * 1000 + turn)
    now = time.time_ns()
    since = now - int(chosen.interval * SECOND) if chosen.delta else now - 3600 * SECOND
    temporality = 1 if chosen.delta else 2
    message = ExportMetricsServiceRequest()
    group = message.resource_metrics.add()
    group.resource.attributes.extend(
        [attribute("service.name", "demo"), attribute("service.instance.id", f"worker-{worker}")]
    )
    metrics = group.scope_metrics.add().metrics
    own = [attribute("worker", f"trading@host-{worker}")]
    for number in range(OWN):
        point = metrics.add(name=f"celery.worker.number{number}", unit="{task}").gauge.data_points.add(attributes=own)
        point.time_unix_nano, point.as_int = now, dice.randrange(1000)
    for task in range(TASKS):
        labels = [*own, attribute("task_name", f"orders.place{task}"), attribute("queue", "trading")]
        for number in range(COUNTERS):
            total = metrics.add(name=f"celery.task.number{number}", unit="{task}").sum
            total.aggregation_temporality, total.is_monotonic = temporality, True
            point = total.data_points.add(attributes=labels, start_time_unix_nano=since, time_unix_nano=now)
            point.as_int = turn * 100 + dice.randrange(100)
        for number in range(HISTOGRAMS):
            histogram = metrics.add(name=f"celery.task.histogram{number}", unit="s").histogram
            histogram.aggregation_temporality = temporality
            counts = [turn * 10 + dice.randrange(10) for _ in range(len(BUCKETS) + 1)]
            histogram.data_points.add(
                attributes=labels,
                start_time_unix_nano=since,
                time_unix_nano=now,
                explicit_bounds=BUCKETS,
                bucket_counts=counts,
                count=sum(counts),
                sum=sum(counts) / 10,
            )
    return message


def _resident(pid: int) -> float:
    """Give a process's resident memory in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _cpu(collector: Collector) -> float:
    """Give the seconds of CPU that the process has used."""
    fields = Path(f"/proc/{collector.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take whatever is written."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's signature
        """Say nothing."""


@contextmanager
def _sink() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
