"""Publishers that gevent or eventlet patch before or after we are imported: they publish, and their spans arrive."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.harness import ROOT, wait_until
from tests.otlp import http_receiver
from tests.services import free_port, require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.otlp import Receiver

pytestmark = [pytest.mark.xdist_group("trace-late"), pytest.mark.timeout(120)]

PATIENCE = 60.0
NUMBER = 20
"""How many messages are published at once."""

MOMENTS = ("before", "after", "started", "published")
SPAN = "apply_async/t.ok"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Receive spans."""
    with http_receiver() as made:
        yield made


@pytest.fixture(params=["gevent", "eventlet"])
def library(request: pytest.FixtureRequest) -> str:
    """Name the library that patches."""
    require(find_spec(request.param), f"{request.param} is not installed: pip install --group green")
    return str(request.param)


def environment(receiver: Receiver, library: str, moment: str) -> dict[str, str]:
    """Say what switches spans on, with a schedule so slow that the process's end alone sends them."""
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "T_LIBRARY": library,
        "T_MOMENT": moment,
        "T_NUMBER": str(NUMBER),
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
        "OTEL_PYTHON_CELERY_TRACE_FLUSH_TIMEOUT": "20000",
    }


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_script_publishes_whenever_it_is_patched(receiver: Receiver, library: str, moment: str) -> None:
    """Many greenlets publish first at once: each message is sent, each has one span, and each span arrives."""
    subprocess.run(
        [sys.executable, "-m", "tests.integration.trace.late"],
        env=environment(receiver, library, moment),
        cwd=ROOT,
        check=True,
        timeout=PATIENCE,
    )
    assert len(receiver.spans(SPAN)) == NUMBER + (moment == "published")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_script_may_keep_the_systems_threads(receiver: Receiver, moment: str) -> None:
    """``patch_all(thread=False)`` makes greenlets wait for queues, and threads not: ours waits for one of its own."""
    require(find_spec("gevent"), "gevent is not installed: pip install --group green")
    subprocess.run(
        [sys.executable, "-m", "tests.integration.trace.late"],
        env=environment(receiver, "gevent", moment) | {"T_OWN_THREADS": "1"},
        cwd=ROOT,
        check=True,
        timeout=PATIENCE,
    )
    assert len(receiver.spans(SPAN)) == NUMBER + (moment == "published")


@pytest.mark.parametrize("early", ["", "1"], ids=["", "published-before-the-fork"])
def test_gunicorn_loads_the_application_before_it_patches(receiver: Receiver, tmp_path: Path, early: str) -> None:
    """``gunicorn --preload -k gevent``: every request that publishes is answered, and its span arrives."""
    for package in ("gunicorn", "gevent"):
        require(find_spec(package), f"{package} is not installed: pip install --group green")
    port, log = free_port(), tmp_path / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", "--preload", "-k", "gevent", "-w", "2", "-b", f"127.0.0.1:{port}"]
    command += ["--no-control-socket", "--graceful-timeout", "20", "tests.integration.trace.late:serve"]
    full = environment(receiver, "gevent", "never") | {"T_EARLY": early}
    with log.open("wb") as out, subprocess.Popen(command, env=full, cwd=ROOT, stdout=out, stderr=out) as server:
        try:
            wait_until(lambda: log.read_text().count("Booting worker") == 2, "both workers run", PATIENCE)
            with ThreadPoolExecutor(NUMBER) as threads:
                answers = list(threads.map(ask, [f"http://127.0.0.1:{port}/"] * NUMBER))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(PATIENCE)
    assert answers == [b"published"] * NUMBER, log.read_text()
    assert len(receiver.spans(SPAN)) == NUMBER + bool(early), log.read_text()


def ask(url: str) -> bytes:
    """Ask once."""
    with urllib.request.urlopen(url, timeout=PATIENCE / 2) as response:
        return bytes(response.read())
