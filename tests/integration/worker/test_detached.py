"""A worker without a terminal: what is wrong stands in its log file, and a strict one ends only then, with 78."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from otel_celery.settings.settings import ENDS, EX_CONFIG
from tests.integration.worker.harness import ROOT, wait_until
from tests.integration.worker.ways import HOOK, INSTRUMENT_ALONE, LINE, PYTHON, Way
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.worker.conftest import Site

OURS = "OTEL_PYTHON_CELERY_"
BAD = {"PROMETHEUS_PORT": "abc"}
SENTENCE = "PROMETHEUS_PORT='abc' is not allowed"


class Detached:
    """A worker in a directory of its own, whose stderr nobody has."""

    def __init__(self, site: Site, way: Way, pool: str, **more: str) -> None:
        """Prepare to start it."""
        self.directory = site.directory
        self.log_path, self.pid_path = self.directory / "d.log", self.directory / "d.pid"
        self._arguments = ["-A", way.app, "worker", "-n", "d@localhost", "-P", pool, "-c", "1", "-l", "INFO"]
        self._include = ["-I", ",".join(way.include)] if way.include else []
        self._launcher = way.launcher
        asked = {"PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": str(free_port()), "T_BROKER": site.broker}
        own = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PROMETHEUS_"))}
        record = {"T_BACKEND": site.backend, "T_RECORD": str(self.directory / "d.record"), "PYTHONPATH": str(ROOT)}
        self._environment = {**own, **asked, **record, **way.environment, **more}

    @property
    def log(self) -> str:
        """Read the log file."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def foreground(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Start it with its log in a file, and wait for its end."""
        return self._run(*self._launcher, *self._arguments, *self._include, "-f", str(self.log_path), *arguments)

    def detach(self) -> None:
        """Start it with ``--detach``; the command itself ends well whatever becomes of the worker."""
        files = ["-f", str(self.log_path), "--pidfile", str(self.pid_path)]
        assert self._run(*self._launcher, *self._arguments, *self._include, "--detach", *files).returncode == 0

    def multi(self) -> None:
        """Start it with ``celery multi``, as Celery's example for systemd's ``Type=forking`` does."""
        files = [f"--logfile={self.log_path}", f"--pidfile={self.pid_path}"]
        app, options = self._arguments[:2], self._arguments[5:]
        command = [*PYTHON, "multi", "start", "d@localhost", *app, *files, *options, *self._include]
        assert self._run(*command).returncode == 0

    def beat(self) -> None:
        """Start its app's beat with ``--detach``."""
        files = ["-f", str(self.log_path), "--pidfile", str(self.pid_path), "-s", str(self.directory / "schedule")]
        assert self._run(*self._launcher, *self._arguments[:2], "beat", "--detach", *files).returncode == 0

    def end(self) -> None:
        """End it by its own process id, if it lives."""
        with suppress(OSError, ValueError):
            os.kill(int(self.pid_path.read_text()), signal.SIGKILL)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, check=False, timeout=60, capture_output=True, text=True, cwd=ROOT, env=self._environment
        )


@pytest.fixture
def start(site: Site) -> Iterator[Callable[..., Detached]]:
    """Give a way to start workers that are ended with the test."""
    made: list[Detached] = []

    def one(way: Way, pool: str = "solo", **more: str) -> Detached:
        made.append(Detached(site, way, pool, **more))
        return made[-1]

    yield one
    for each in made:
        each.end()


@pytest.mark.solo
@pytest.mark.parametrize("how", ["detach", "multi"])
@pytest.mark.parametrize("way", [HOOK, LINE], ids=str)
def test_f71_a_detached_workers_mistake_is_in_its_log_once(start: Callable[..., Detached], way: Way, how: str) -> None:
    """The worker runs on without metrics."""
    worker = start(way, **BAD)
    getattr(worker, how)()
    wait_until(lambda: "ready." in worker.log, "the worker is ready")
    assert worker.log.count(SENTENCE) == 1
    assert "ERROR/MainProcess] otel-celery: PROMETHEUS_PORT" in worker.log


@pytest.mark.solo
@pytest.mark.parametrize("how", ["detach", "multi"])
def test_f71_a_strict_detached_worker_ends_after_it_has_said_why(start: Callable[..., Detached], how: str) -> None:
    """The log has the sentence, and no worker consumes."""
    worker = start(HOOK, **{**BAD, f"{OURS}STRICT": "true"})
    getattr(worker, how)()
    wait_until(lambda: SENTENCE in worker.log, "the sentence is in the log")
    wait_until(lambda: not worker.pid_path.exists() or not _lives(worker), "the worker is gone")
    assert "ready." not in worker.log
    assert worker.log.count(SENTENCE) == 1


SPANS = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "no-pair"}
EARLY = Way("early", app="tests.integration.worker.proj_early")


@pytest.mark.solo
@pytest.mark.parametrize("how", ["detach", "multi"])
def test_what_is_said_before_logging_is_set_up_is_in_the_log(start: Callable[..., Detached], how: str) -> None:
    """A sentence of the time at which the worker's logging is not set up yet, and nobody reads its stderr."""
    worker = start(EARLY)
    getattr(worker, how)()
    wait_until(lambda: "ready." in worker.log, "the worker is ready")
    assert worker.log.count("WARNING/MainProcess] otel-celery: this is said early") == 1


def test_what_a_detached_beat_says_as_its_app_is_imported_is_in_its_log(start: Callable[..., Detached]) -> None:
    """It is a publisher before it is a beat, and then its logging is not set up."""
    beat = start(LINE, **SPANS)
    beat.beat()
    wait_until(lambda: "metrics of celery-beat are off" in beat.log, "it has begun")
    assert (
        len(re.findall(r"ERROR/MainProcess\] otel-celery: OTEL_EXPORTER_OTLP_HEADERS=.*; traces are off", beat.log))
        == 1
    )


def _lives(worker: Detached) -> bool:
    try:
        os.kill(int(worker.pid_path.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


MISTAKES = {
    "value": (BAD, SENTENCE),
    "exporter": ({"OTEL_METRICS_EXPORTER": "pigeon"}, "OTEL_METRICS_EXPORTER names 'pigeon'"),
    "traces": ({"OTEL_TRACES_EXPORTER": "jaegr"}, "OTEL_TRACES_EXPORTER names 'jaegr'"),
    "certificate": (
        {f"{OURS}TLS_CERT_FILE": str(ROOT / "LICENSE"), f"{OURS}TLS_KEY_FILE": str(ROOT / "LICENSE")},
        f"{OURS}TLS_CERT_FILE",
    ),
    "port": ({}, "cannot be opened for worker d@localhost"),
}


@pytest.mark.parametrize(
    ("way", "pool", "kind"),
    [
        *(pytest.param(HOOK, "solo", kind, marks=pytest.mark.solo, id=f"hook-{kind}") for kind in MISTAKES),
        *(pytest.param(LINE, pool, "value", marks=getattr(pytest.mark, pool)) for pool in ("prefork", "gevent")),
        pytest.param(INSTRUMENT_ALONE, "prefork", "port", marks=pytest.mark.prefork),
    ],
)
def test_f71_a_strict_worker_ends_with_78_and_says_why_in_its_log_alone(
    start: Callable[..., Detached], way: Way, pool: str, kind: str
) -> None:
    """With a log file its stderr has nothing of it, so that nobody reads it twice."""
    more, sentence = MISTAKES[kind]
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = {"PROMETHEUS_PORT": str(taken.getsockname()[1])} if kind == "port" else {}
        worker = start(way, pool, **{**port, **more, f"{OURS}STRICT": "true"})
        ended = worker.foreground()
    assert ended.returncode == EX_CONFIG, ended.stderr + worker.log
    assert worker.log.count(sentence) == 1, worker.log
    assert worker.log.count(ENDS) == 1, worker.log
    assert sentence not in ended.stderr + ended.stdout
    assert "Traceback" not in worker.log + ended.stderr


@pytest.mark.solo
@pytest.mark.parametrize("logs", ["own", "own-disabling", "none", "critical"])
def test_f71_a_log_that_does_not_take_it_leaves_it_on_stderr(start: Callable[..., Detached], logs: str) -> None:
    """An application may set its logging up itself, and even switch ours off; somebody is told, and once."""
    worker = start(HOOK, **{**BAD, f"{OURS}STRICT": "true", "T_LOGGING": logs})
    ended = worker.foreground(
        "-I", "otel_celery.hook,tests.integration.worker.proj_logging", *(("-l", "CRITICAL") * (logs == "critical"))
    )
    assert ended.returncode == EX_CONFIG, ended.stderr
    own = worker.directory / "own.log"
    written = own.read_text() if own.exists() else ""
    assert written.count(SENTENCE) == (logs == "own")
    assert ended.stderr.count(SENTENCE) == (logs != "own")
