"""How long Prometheus takes to evaluate the committed rules, reckoned to 1 000 workers of 100 tasks each.

A real Prometheus scrapes some workers, 25 to a pool. All their tasks run all the time, and at times fail, are retried,
rejected, revoked and stopped by their limits. Twenty minutes of scrapes, 15 s apart by their own timestamps, come as
fast as it takes them in; what rules recorded within the three days before lies in its store. Then the rules are
evaluated, so that there is what they record, and each is asked for once more, by itself: the CPU time that Prometheus
takes for it is what it costs, whatever else the machine does. Of three times the least counts.

A group is evaluated rule by rule, on one core, and its cost grows with the number of series. So the last column is what
was measured times 1 000 / workers, beside a tenth of the group's interval.

    python -m tests.benchmarks.rules --workers 200
"""

from __future__ import annotations

import argparse
import math
import random
import re
import subprocess
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests import services
from tests.benchmarks.fleet import BOUNDS, STEP, STEPS, WORDS, Fleet
from tests.benchmarks.rig import table
from tests.integration.stack.histories import seconds
from tests.integration.stack.intervals import hastened
from tests.integration.stack.servers import MONITORING, OK, fetch, start_prometheus
from tests.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stack.servers import Server

REFERENCE = 1_000
"""Workers that a figure is reckoned to; of as many tasks as were measured."""
POOL = 25
"""Workers of a pool: they share what is recorded."""
AHEAD = 120
"""Seconds that the last scrape lies ahead of the moment at which all are taken in; rules are evaluated meanwhile."""
SAMPLE = 1e-5
"""Seconds that a sample may take to be taken in."""
TAKEN = 0.95
"""The part of each worker's scrapes that has to succeed; on a busy machine one comes too late at times."""
EVERY, ROUNDS, TIMES = 30, 2, 3
"""Seconds between two evaluations here, how many there are, and how often a rule is asked for then."""
RULES = ("rules.yml", "alerts.yml")

RECORDED = {
    "pool_task_le:celery_task_runtime_seconds_bucket:rate1h": ("24h", 240),
    "pool_task_le:celery_task_runtime_seconds_bucket:rate5m": ("1h", 120),
    "pool_task:celery_task_runtime_seconds_sum:rate1h": ("24h", 240),
    "pool_task:celery_task_runtime_seconds_sum:rate5m": ("1h", 120),
    "pool_task:celery_task_last_success_timestamp_seconds:max": ("24h", 60),
    "pool_task_status:celery_tasks:rate5m": ("1h", 60),
    "pool_task:celery_task_redelivered:increase15m": ("3h", 60),
    "pool_task_exception:celery_task_failures_by_exception:increase15m": ("3h", 60),
    "pool_status:celery_tasks:rate5m": ("72h", 60),
    "pool:celery_task_finished:rate5m": ("72h", 60),
}
"""What rules look back at for long: for how long, and how many seconds its samples are apart."""


def remember(fleet: Fleet, directory: Path, store: Path) -> None:
    """Write what rules recorded before the first scrape into the store."""
    file, until = directory / "recorded.om", time.time() - STEP * STEPS
    with file.open("w") as lines:
        for name, (window, apart) in RECORDED.items():
            for labels in _recorded_labels(name, fleet):
                for before in range(seconds(window), 0, -apart):
                    lines.write(f"{name}{{{labels}}} {random.random():.6f} {until - before:.3f}\n")
        lines.write("# EOF\n")
    command = [services.built("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    subprocess.run([*command, str(file), str(store)], check=True, capture_output=True)


def _recorded_labels(name: str, fleet: Fleet) -> Iterator[str]:
    kept = name.partition(":")[0].split("_")
    values = {
        "pool": [f"pool-{number}" for number in range(-(-fleet.workers // POOL))],
        "task": [f"shop.tasks.number_{task}" for task in range(fleet.tasks)],
        "status": WORDS["status"],
        "exception": ["WorkerLostError"],
        "le": BOUNDS,
    }
    names = {"task": "task_name"}
    for found in product(*(values[one] for one in kept)):
        labels = (f'{names.get(one, one)}="{value}"' for one, value in zip(kept, found, strict=True))
        yield ",".join(['job="celery"', *labels])


def configured(fleet: Fleet, port: int, own: int, rules: tuple[str, ...] = ()) -> str:
    """Write Prometheus's configuration: a target for each worker, all at one port, whose pages lack its name."""
    targets = [
        {
            "targets": [f"{LOOPBACK}:{port}"],
            "labels": {"pool": f"pool-{one // POOL}", "instance": f"host-{one}:9101", "__metrics_path__": f"/{one}"},
        }
        for one in range(fleet.workers)
    ]
    named = {"source_labels": ["__name__", "instance"], "regex": "celery_.+;(.+):.*", "target_label": "worker"}
    job = {"job_name": "celery", "static_configs": targets, "metric_relabel_configs": [named]}
    itself = {"job_name": "prometheus", "static_configs": [{"targets": [f"{LOOPBACK}:{own}"]}]}
    whole = {
        "global": {"scrape_interval": f"{pace(fleet)}s", "scrape_timeout": f"{pace(fleet)}s"},
        "scrape_configs": [job, itself],
        "rule_files": [*rules],
    }
    return yaml.safe_dump(whole)


def pace(fleet: Fleet) -> int:
    """Give the seconds between two scrapes here: as long as Prometheus takes for one of every worker."""
    return math.ceil(fleet.workers * fleet.size() * SAMPLE)


def record(server: Server) -> None:
    """Wait until each group has been evaluated some times."""
    groups = sum(len(yaml.safe_load((MONITORING / name).read_text())["groups"]) for name in RULES)
    every = f"count(prometheus_rule_group_iterations_total >= {ROUNDS}) == {groups}"
    server.wait_for(every, "the rules were evaluated", EVERY * (ROUNDS + 10))


def measured(server: Server, at: float) -> Iterator[tuple[str, str, float]]:
    """Give each group's name and interval, and the CPU seconds that its rules take."""
    began, before = time.monotonic(), cpu(server)
    time.sleep(EVERY / 4)
    idle = (cpu(server) - before) / (time.monotonic() - began)
    for name in RULES:
        for group in yaml.safe_load((MONITORING / name).read_text())["groups"]:
            took = (min(asked(server, rule["expr"], at, idle) for _ in range(TIMES)) for rule in group["rules"])
            yield group["name"], group["interval"], sum(took)


def asked(server: Server, expression: str, at: float, idle: float) -> float:
    """Ask for an expression, and give the CPU seconds that it took, beyond what passes in the meantime anyway."""
    began, before = time.monotonic(), cpu(server)
    server.query(f"count({expression})", time=str(at))
    return max(0, cpu(server) - before - idle * (time.monotonic() - began))


def cpu(server: Server) -> float:
    """Read how many CPU seconds Prometheus has taken."""
    found = re.search(r"(?m)^process_cpu_seconds_total (\S+)", server.get("/metrics")[1])
    assert found
    return float(found[1])


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(run(Path(name), arguments.workers, arguments.tasks))


def run(directory: Path, workers: int, tasks: int) -> str:
    """Measure workers of so many tasks each; give the tables."""
    fleet, port = Fleet(workers, tasks), free_port()
    remember(fleet, directory, directory / f"tsdb-{port}")
    fleet.write(time.time() + pace(fleet) * STEPS + AHEAD - STEP * STEPS)
    for name in RULES:
        (directory / name).write_text(hastened((MONITORING / name).read_text(), f"{EVERY}s"))
    with fleet.served() as metrics:
        arguments = ("--web.enable-lifecycle", "--query.timeout=10m")
        with start_prometheus(configured(fleet, metrics, port), directory, port=port, arguments=arguments) as server:
            while not fleet.is_taken_in():
                time.sleep(1)
            if (server.value("min(avg_over_time(up[1h]))") or 0) < TAKEN:
                raise SystemExit("too many scrapes failed: the machine is too slow, or busy")
            reload(server, directory, configured(fleet, metrics, port, RULES))
            record(server)
            now = time.time()
            reload(server, directory, configured(fleet, metrics, port))
            return shown(fleet, [*measured(server, now)], server)


def reload(server: Server, directory: Path, config: str) -> None:
    """Have Prometheus read another configuration."""
    (directory / "prometheus.yml").write_text(config)
    status, body = fetch(f"{server.url}/-/reload", method="POST")
    if status != OK:
        raise SystemExit(body)


def shown(fleet: Fleet, took: list[tuple[str, str, float]], server: Server) -> str:
    """Print what each group takes, and what all take together."""
    rows, whole = [], 0.0
    for name, interval, here in took:
        reckoned, every = here * REFERENCE / fleet.workers, seconds(interval)
        whole += reckoned / every
        verdict = "" if reckoned <= every / 10 else "too long"
        rows.append([name, interval, f"{here:.2f} s", f"{reckoned:.1f} s", f"{every / 10:g} s", verdict])
    head = table(["group", "every", f"{fleet.workers} workers", f"{REFERENCE} workers", "allowed", ""], rows)
    held, memory = (
        server.value(f'{name}{{job="prometheus"}}') or 0
        for name in ("prometheus_tsdb_head_series", "process_resident_memory_bytes")
    )
    return (
        f"{head}\n\n{fleet.size()} series a worker of {fleet.tasks} tasks; {held:.0f} in memory, {memory / 2**30:.1f} "
        f"GiB. {REFERENCE} workers keep {whole:.2f} cores busy with rules."
    )


if __name__ == "__main__":
    main()
