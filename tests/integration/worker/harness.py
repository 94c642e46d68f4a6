"""Real workers: started as processes, asked over their port, and ended by their own process id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from otel_celery.serve.exposition import MAX_AGE
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[3]
ENDS = ("success", "failure", "retry", "rejected", "ignored", "revoked", "unreported")
PATIENCE = 30.0

T = TypeVar("T")


def wait_until(what: Callable[[], T | None], sentence: str, seconds: float = PATIENCE) -> T:
    """Wait until something is true, and return it; say what it was if it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.05)
    message = f"not within {seconds} s: {sentence}"
    raise AssertionError(message)


class Scrape:
    """What one scrape said."""

    def __init__(self, text: str) -> None:
        """Parse the text format."""
        self.text = text
        self.samples = [s for family in text_string_to_metric_families(text) for s in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Sum the samples of one name that have these labels."""
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())

    def has(self, name: str, **labels: str) -> bool:
        """Tell whether there is such a sample."""
        return any(s.name == name and labels.items() <= s.labels.items() for s in self.samples)

    def labels(self, name: str, label: str) -> set[str]:
        """List the values of one label."""
        return {s.labels[label] for s in self.samples if s.name == name}

    def ends(self, task_name: str) -> Counter[str]:
        """Count a task's ends by status."""
        ends = {status: self.value("celery_tasks_total", task_name=task_name, status=status) for status in ENDS}
        return Counter({status: int(number) for status, number in ends.items() if number})

    def books(self) -> dict[str, float]:
        """Give both sides of the conservation law."""
        return {
            "received": self.value("celery_task_received_total"),
            "ended": self.value("celery_tasks_total"),
            "reserved": self.value("celery_worker_tasks_reserved"),
            "scheduled": self.value("celery_worker_tasks_scheduled"),
            "active": self.value("celery_worker_tasks_active"),
            "returned": self.value("celery_task_returned_total"),
        }

    def balances(self) -> bool:
        """Tell whether the books balance."""
        books = self.books()
        return books.pop("received") == sum(books.values())


@dataclass
class Worker:
    """One ``celery worker`` process."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log_path: Path
    record_path: Path
    environment: Mapping[str, str] = field(repr=False)
    fresh_at: float = 0.0
    """When a rendering is made anew, by the monotonic clock: what the last scrape got is kept until then."""

    @property
    def log(self) -> str:
        """Read what the worker has logged so far."""
        return self.log_path.read_text(errors="replace")

    def record(self) -> Counter[str]:
        """Count the lines that the tasks have written down."""
        return Counter(self.record_path.read_text().splitlines()) if self.record_path.exists() else Counter()

    def get(self, path: str) -> tuple[int, str]:
        """Ask the port."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        finally:
            if path == "/metrics":
                self.fresh_at = time.monotonic() + MAX_AGE + 0.01

    def scrape(self) -> Scrape:
        """Scrape the port afresh, not what an earlier scrape of ours has left there."""
        time.sleep(max(0.0, self.fresh_at - time.monotonic()))
        status, text = self.get("/metrics")
        assert status == 200, text
        return Scrape(text)

    def is_ready(self) -> bool:
        """Tell whether the worker says that it consumes."""
        assert self.process.poll() is None, self.log
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False

    def wait_ready(self) -> Worker:
        """Wait until the worker consumes."""
        try:
            wait_until(self.is_ready, "the worker is ready")
        except AssertionError as error:
            message = f"{error}\n{self.log}"
            raise AssertionError(message) from None
        return self

    def settled(self, seconds: float = PATIENCE) -> Scrape:
        """Wait until nothing moves: no task active or reserved, and three scrapes in a row the same.

        A message that was just sent needs some time to arrive.
        """
        last: list[dict[str, float]] = []

        def still() -> Scrape | None:
            scrape = self.scrape()
            books = scrape.books()
            last.append(books)
            quiet = not books["active"] and not books["reserved"] and last[-3:] == [books] * 3
            return scrape if quiet else None

        try:
            return wait_until(still, "nothing moves", seconds)
        except AssertionError as error:
            message = f"{error}: {last[-1:]}\n{self.log[-4000:]}"
            raise AssertionError(message) from None

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = PATIENCE) -> int:
        """End the worker by its own process id, and tell its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            message = f"the worker did not stop on {how!r}:\n{self.log[-4000:]}"
            raise AssertionError(message) from None


def start_worker(
    directory: Path,
    *,
    pool: str = "prefork",
    concurrency: int = 2,
    environment: Mapping[str, str],
    arguments: tuple[str, ...] = (),
    switch: tuple[str, ...] = ("-I", "otel_celery.hook"),
    launcher: tuple[str, ...] = (sys.executable, "-m", "celery"),
    app: str = "tests.integration.worker.proj",
    name: str = "w",
) -> Worker:
    """Start a worker whose port is free now; ``switch`` is the way its metrics are switched on."""
    port = free_port()
    record = directory / f"{name}.record"
    record.touch()
    full = {
        **{
            key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PROMETHEUS_", "COVERAGE_"))
        },
        **{key: value for key, value in os.environ.items() if key.startswith("COVERAGE_")},
        "PROMETHEUS_ENABLED": "true",
        "PROMETHEUS_PORT": str(port),
        "T_RECORD": str(record),
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    log = directory / f"{name}.log"
    command = [*launcher, "-A", app, "worker", "-n", f"{name}@localhost", "-P", pool, "-c", str(concurrency)]
    command += ["--without-gossip", "--without-mingle", "-l", "INFO", *switch, *arguments]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=full, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    return Worker(name, port, process, log, record, full)
