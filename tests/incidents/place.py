"""Where one incident happens: an environment with a broker of its own, and the processes that are scraped there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celery import Celery

from otel_celery.catalogue import BUCKETS
from otel_celery.lifecycle import SENT_HEADER
from tests.integration.stack.servers import ROOT, Server, start
from tests.integration.worker.harness import Worker, start_worker
from tests.integration.worker.proxy import Proxy
from tests.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

APP = "tests.incidents.app"
MINUTE = 60.0


class Interrupted(Exception):  # noqa: N818  nothing is wrong
    """Somebody has ended the play."""


@dataclass
class Place:
    """An environment: what runs there, and on which scale of time."""

    environment: str
    times: float
    """How many times faster than on a clock time goes here."""
    directory: Path
    broker: str
    interrupted: threading.Event = field(default_factory=threading.Event)
    """Set once the play is to end before its time."""
    running: ExitStack = field(default_factory=ExitStack)
    targets: list[tuple[str, int, Mapping[str, str]]] = field(default_factory=list)
    """What is scraped: the job, the port, and the target's labels."""
    ports: dict[str, int] = field(default_factory=dict)
    """The port of each thing that has been started, by its name."""
    fronts: dict[str, Proxy] = field(default_factory=dict)
    """The addresses behind which workers come and go."""
    missing: set[int] = field(default_factory=set)
    """Ports of targets that are not there while all is well."""

    def seconds(self, minutes: float) -> float:
        """Give the seconds of a clock that so many minutes take here."""
        return minutes * MINUTE / self.times

    def sleep(self, minutes: float) -> None:
        """Let so many minutes pass; raise Interrupted where the play is to end."""
        self.pause(self.seconds(minutes))

    def pause(self, seconds: float) -> None:
        """Let so many seconds of the clock pass; raise Interrupted where the play is to end."""
        if self.interrupted.wait(seconds):
            raise Interrupted

    def file(self, name: str) -> Path:
        """Name a file by which a task is told to end."""
        return self.directory / name

    def worker(self, pool: str, kind: str = "threads", *, named: str = "", **environ: str) -> Worker:
        """Start a worker, again at the port that its pool had, and have it scraped; ``named`` is its node's name."""
        return self._started(pool, kind, named or pool, self._scraped("celery", pool, pool=pool), environ)

    def behind(self, address: str, pool: str, kind: str = "threads", *, named: str = "") -> Worker:
        """Start a worker behind an address that is scraped; the one that was there before is led past once it is ready.

        So there is no moment without a worker, which at this pace would be minutes.
        """
        started = self._started(pool, kind, named or pool, free_port(), {})
        url = f"http://{LOOPBACK}:{started.port}"
        started.wait_ready()
        if address in self.fronts:
            self.fronts[address].lead_to(url)
        else:
            self.fronts[address] = self.running.enter_context(Proxy.to(url))
            self._noted("celery", int(self.fronts[address].url.rpartition(":")[2]), pool=pool)
        return started

    def nobody(self, pool: str) -> None:
        """Have a pool scraped that is not there."""
        self.missing.add(self._scraped("celery", pool, pool=pool))

    def queue_exporter(self, **environ: str) -> None:
        """Start the process that asks the broker, and have it scraped."""
        self._serve("celery-queues", "otel_celery.cli", "queues", "serve", "-A", APP, **environ)

    def beat(self) -> Server:
        """Start beat, and have it scraped."""
        return self._serve("celery-beat", "celery", "-A", APP, "beat", T_SCHEDULE=str(self.file("schedule")))

    def publisher(self) -> Server:
        """Start what publishes, while there is a file, what cannot be published, and have it scraped."""
        return self._serve("web", "tests.incidents.publisher", T_FAILS=str(self.file("fails")))

    def command(self, job: str, command: list[str], **environ: str) -> Server:
        """Start another program, ``{port}`` in whose words is its port, and have it scraped."""
        port = self._scraped(job, job)
        words = [word.format(port=port) for word in command]
        return self.running.enter_context(start(words, port, self.directory, ready="/metrics", environ=environ))

    def send(self, task: str, *args: Any, queue: str, number: int = 1, **options: Any) -> list[str]:
        """Publish a task so many times, with the header that publishers with otel-celery give it; return the ids."""
        with Celery("client", broker=self.broker, set_as_current=False) as client:
            headers = {SENT_HEADER: time.time()}
            name = f"incidents.{task}"
            return [client.send_task(name, args, queue=queue, headers=headers, **options).id for _ in range(number)]

    def call(self, task: str, *args: Any, queue: str) -> None:
        """Publish a task from a process of its own: kombu's models of a database are one set a process."""
        words = ["celery", "-A", APP, "call", f"incidents.{task}", f"--args={json.dumps(args)}", f"--queue={queue}"]
        environ = {**os.environ, **self._environ(free_port())}
        subprocess.run([sys.executable, "-m", *words], env=environ, cwd=ROOT, check=True, capture_output=True)

    def purge(self, queue: str) -> None:
        """Throw away what waits in a queue, as `celery purge -Q` does."""
        with Celery("client", broker=self.broker, set_as_current=False) as client, client.connection() as connection:
            connection.default_channel.queue_purge(queue)

    def control(self, command: str, **arguments: object) -> None:
        """Send the workers a command of Celery's remote control, such as ``revoke``."""
        with Celery("client", broker=self.broker, set_as_current=False) as client:
            client.control.broadcast(command, arguments=arguments)

    def _started(self, pool: str, kind: str, name: str, port: int, environ: Mapping[str, str]) -> Worker:
        environment = {**self._environ(port), **environ}
        started = start_worker(
            self.directory, pool=kind, environment=environment, arguments=("-Q", pool), app=APP, name=name
        )
        started.port = port
        self.running.callback(ended, started)
        return started

    def _serve(self, job: str, *command: str, ready: str = "/metrics", **environ: str) -> Server:
        port = self._scraped(job, job)
        full = {**self._environ(port), **environ, "T_INSTRUMENT": "1"}
        server = start([sys.executable, "-m", *command], port, self.directory, ready=ready, environ=full)
        return self.running.enter_context(server)

    def _scraped(self, job: str, name: str, **labels: str) -> int:
        """Give the port of something, and note that it is scraped."""
        if name not in self.ports:
            self.ports[name] = free_port()
            self._noted(job, self.ports[name], **labels)
        return self.ports[name]

    def _noted(self, job: str, port: int, **labels: str) -> None:
        self.targets.append((job, port, {**labels, "env": self.environment}))

    def _environ(self, port: int) -> dict[str, str]:
        return {
            "PROMETHEUS_ENABLED": "true",
            "PROMETHEUS_PORT": str(port),
            "OTEL_EXPORTER_PROMETHEUS_HOST": LOOPBACK,
            "PYTHONPATH": str(ROOT),
            "OTEL_PYTHON_CELERY_QUEUES_INTERVAL": "1000",
            "T_BROKER": self.broker,
            "OTEL_PYTHON_CELERY_BUCKETS": ",".join(str(bound / self.times) for bound in BUCKETS),
            "T_TIMES": str(self.times),
        }


def ended(worker: Worker) -> None:
    """End a worker at once, whatever it is doing."""
    if worker.process.poll() is None:
        worker.process.kill()
    worker.process.wait()
