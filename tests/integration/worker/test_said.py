"""What a worker says of mistakes that would otherwise meet silence, each with a real worker."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.harness import ROOT, wait_until
from tests.integration.worker.ways import HOOK, LINE, NONE, OFF, PYTHON, opened
from tests.services import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

pytestmark = pytest.mark.solo

QUIET = ("-l", "WARNING")
"""Celery's default level, at which it does not say that it is ready."""


def ended(site: Site, worker: Worker) -> list[str]:
    """Have the worker run a task, end it, and return our lines of its log without the time."""
    site.client.send_task("proj.succeed")
    wait_until(lambda: worker.record()["finished succeed"], "the task has run")
    assert worker.stop() == 0
    lines = [line for line in worker.log.splitlines() if "otel-celery" in line or "Prometheus" in line]
    return [re.sub(r"^\[[^]]+: (\w+)/MainProcess\] ", r"\1 ", line) for line in lines]


def test_metrics_that_are_off_though_somebody_has_set_a_variable(site: Site) -> None:
    """At Celery's default level: what is misspelt, and what alone switches nothing on."""
    environment = {**OFF, "PROMETHEUS_PORT": "9101", "PROMETHUES_ENABLED": "true"}
    worker = HOOK.start(site, "solo", environment=environment, arguments=QUIET)
    misspelt, off = ended(site, worker)
    assert misspelt == (
        "WARNING otel-celery: PROMETHUES_ENABLED is not a setting of otel-celery and was ignored; did you mean "
        "PROMETHEUS_ENABLED?"
    )
    assert off == (
        "WARNING otel-celery: metrics are off for worker w@localhost: PROMETHEUS_PORT is set, and switches nothing on; "
        "PROMETHEUS_ENABLED=true does"
    )


def test_spans_without_metrics(site: Site) -> None:
    """They may be what is wanted, and whoever looks for metrics reads why there are none."""
    environment = {**OFF, "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://[::1]:{free_port()}"}
    worker = LINE.start(site, "solo", environment=environment, arguments=QUIET)
    first, *_ = ended(site, worker)
    assert first == (
        "WARNING otel-celery: metrics are off for worker w@localhost: only spans are asked for (OTEL_TRACES_EXPORTER); "
        "PROMETHEUS_ENABLED=true switches metrics on"
    )


def test_the_line_of_metrics_that_are_on_needs_info(site: Site) -> None:
    """At Celery's default level nothing is said of a port that is open, as the README says."""
    worker = HOOK.start(site, "solo", arguments=QUIET).wait_ready()
    assert ended(site, worker) == []
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert "Celery's default level, WARNING, hides it" in readme
    assert opened(HOOK.start(site, "solo", name="told").wait_ready()) == 1


WRONG = """
from celery import Celery
from otel_celery import instrument

app = Celery("proj")
instrument({})
"""


def run(directory: Path, app: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Start a worker that cannot start."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PROMETHEUS_"))}
    environ |= {"PYTHONPATH": f"{directory}{os.pathsep}{ROOT}", "PROMETHEUS_ENABLED": "true"}
    command = [*PYTHON, "-A", app, "worker", "-P", "solo", *arguments]
    return subprocess.run(command, env=environ, cwd=directory, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("given", "shown"),
    [('"proj"', "'proj'"), ("app.main", "'proj'"), ("None", "None"), ("__import__('math')", "<module ")],
)
def test_the_line_with_something_else_than_the_app(tmp_path: Path, given: str, shown: str) -> None:
    """It is an error where it stands, with the right spelling in it."""
    (tmp_path / "proj.py").write_text(WRONG.format(given))
    done = run(tmp_path, "proj")
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"TypeError: instrument() takes a Celery app, and not {shown}")
    assert last.endswith(": write instrument(app)")


INCLUDING = "from celery import Celery\n\napp = Celery('proj')\napp.conf.imports = {}\n"


@pytest.mark.parametrize(("setting", "arguments"), [("[]", ("-I", "otel_celery")), ("['otel_celery']", ())])
def test_the_package_instead_of_its_hook(tmp_path: Path, setting: str, arguments: tuple[str, ...]) -> None:
    """It switches nothing on, so that it is an error, on the command line and in the app's settings."""
    (tmp_path / "proj.py").write_text(INCLUDING.format(setting))
    done = run(tmp_path, "proj", *arguments)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == "ImportError: otel_celery itself switches nothing on in a worker: write -I otel_celery.hook"


def test_another_apps_worker_in_a_process_with_an_instrumented_app(site: Site) -> None:
    """What is said while it runs is said then, and not when it has ended."""
    worker = NONE.start(site, "solo", app="tests.integration.worker.proj_two:app", arguments=QUIET)
    wait_until(lambda: "somebody says something" in worker.log, "it is said while the worker runs")
    assert worker.stop() == 0
    assert worker.log.count("somebody says something") == 1
