"""README's two tables: each way to load it works with the port, and each row that switches it on does what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.integration.frameworks.examples import Example
from tests.integration.stack.servers import repointed
from tests.integration.worker.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.worker.conftest import Site
    from tests.otlp import Receiver

pytestmark = pytest.mark.prefork

README = (ROOT / "README.md").read_text("utf-8")
APP = """\
from celery import Celery

app = Celery("proj")
app.conf.task_ignore_result = True


@app.task
def add(x, y):
    return x + y
"""
OPENED = r"Prometheus metrics server started on port \d+ for worker \S+"


def rows(title: str) -> dict[str, str]:
    """Read one of the two tables: what stands first in a row, and the code behind it."""
    found = re.search(rf"^\*\*{title}\*\*\n\n(.*?)\n\n", README, re.DOTALL | re.MULTILINE)
    assert found is not None
    return dict(re.findall(r"^\| ([^|`]+) \| `([^`]+)`", found[1], re.MULTILINE))


LOAD, SWITCH = rows("Load it"), rows("Switch it on")
HOOK, PORT = LOAD["on the command line"], SWITCH["the port"]


@pytest.fixture
def example(site: Site, tmp_path: Path) -> Example:
    """Give an app of one task, without a word of otel-celery in it."""
    (tmp_path / "proj.py").write_text(APP)
    return Example(tmp_path, site.broker, tmp_path)


def publish(example: Example, site: Site) -> None:
    """Send the task."""
    site.client.send_task("proj.add", (1, 2))
    example.wait_for_success("proj.add")


@pytest.mark.parametrize("where", LOAD)
def test_each_way_to_load_it_serves_the_port(example: Example, site: Site, where: str) -> None:
    """A row of the first table with the first row of the second is enough."""
    command = LOAD[where]
    if not command.startswith(("celery", "opentelemetry-instrument")):
        with (example.directory / "proj.py").open("a") as app:
            app.write(f"\n\n{command}\n")
        command = "celery -A proj worker"
    with example.start(f"{repointed(PORT, example.ports)} {command} -c 1 -l INFO") as fleet:
        fleet.wait_for(OPENED)
        publish(example, site)
        fleet.process.terminate()
        assert fleet.end() == 0


def test_one_of_the_two_alone_does_nothing(example: Example) -> None:
    """Loaded and not switched on, or switched on and not loaded, a worker opens no port."""
    for command in (HOOK, f"{repointed(PORT, example.ports)} {HOOK.partition(' -I')[0]}"):
        with example.start(f"{command} -n {len(command)}@localhost -c 1 -l INFO") as fleet:
            fleet.wait_for(r"@localhost ready\.")
            assert "Prometheus metrics server" not in fleet.said()
            fleet.process.terminate()
            assert fleet.end() == 0
            assert not re.search(OPENED, fleet.said())


def test_opentelemetrys_words_serve_the_port(example: Example, site: Site) -> None:
    """The second row of the second table is the same port."""
    switch = repointed(SWITCH["the port, in OpenTelemetry's words"], example.ports)
    with example.start(f"{switch} {HOOK} -c 1 -l INFO") as fleet:
        fleet.wait_for(OPENED)
        publish(example, site)
        fleet.process.terminate()
        assert fleet.end() == 0


def test_push_and_spans_arrive(example: Example, site: Site, receiver: Receiver) -> None:
    """What the rows of push and of spans set brings both to a collector, the last values as the worker ends."""
    collector = "http://collector:4318"
    assert collector in SWITCH["push"]
    switch = f"{SWITCH['push']} {SWITCH['spans']}".replace(collector, receiver.url)
    with example.start(f"{switch} {HOOK} -c 1 -l INFO") as fleet:
        fleet.wait_for(r"ready\.")
        site.client.send_task("proj.add", (1, 2))
        fleet.wait_for(r"Task proj\.add\[\S+ succeeded")
        fleet.process.terminate()
        assert fleet.end() == 0
    assert receiver.spans("run/proj.add")
    assert receiver.latest("celery.task.succeeded", task_name="proj.add") == 1
