"""`make monitoring`: what is installed here runs with the committed files, and ends by Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.integration.pools.fleet import Fleet, until
from tests.integration.stack.servers import FreePorts, copied, debian
from tests.integration.worker.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PORTS = (9090, 9093, 9106, 9121, 9187)
NAMES = ("prometheus", "alertmanager", "queues", "redis-exporter", "postgres-exporter")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Copy the committed files with free ports, since the documented ones may be somebody's."""
    for program in (
        *("prometheus", "prometheus-alertmanager"),
        *("prometheus-redis-exporter", "prometheus-postgres-exporter"),
    ):
        debian(program, program)
    ports = FreePorts()
    script = copied(tmp_path / "monitoring", ports) / "local.py"
    text = script.read_text()
    for port in PORTS:
        text = re.sub(rf"\b{port}\b", str(ports[port]), text)
    script.write_text(text)
    return script


def without_docker(directory: Path) -> str:
    """Give a PATH on which Docker answers nothing."""
    (directory / "docker").write_text("#!/bin/sh\nexit 1\n")
    (directory / "docker").chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"


def test_what_is_installed_here_runs_and_ends_by_ctrl_c(tmp_path: Path, script: Path, redis_url: str) -> None:
    """Each address that is printed answers, on loopback alone; Prometheus has the rules; nothing is left."""
    environ = {"PATH": without_docker(tmp_path), "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    command = [sys.executable, str(script), "--broker", redis_url]
    with Fleet(command, tmp_path / "out", environ, tmp_path) as fleet:
        addresses = {name: fleet.wait_for(rf"{name} +(http://localhost:\d+/\S*)")[0] for name in NAMES}
        for name, address in addresses.items():
            found = status(address)
            assert found == 200 or (name == "postgres-exporter" and found == 500)  # there is no PostgreSQL
            port = int(address.rpartition(":")[2].partition("/")[0])
            with pytest.raises(ConnectionRefusedError):  # what listens on all addresses would answer there too
                socket.create_connection(("127.0.0.2", port), timeout=5)
        with urllib.request.urlopen(f"{addresses['prometheus']}api/v1/rules", timeout=10) as answer:
            assert "CeleryWorkerDown" in answer.read().decode()
        until(lambda: jobs_up(addresses["prometheus"]) >= {"celery-queues", "alertmanager"}, "scraped", fleet.said, 60)
        os.killpg(fleet.process.pid, signal.SIGINT)
        fleet.end()
        fleet.gone()
    assert not list(tmp_path.glob("otel-celery-monitoring-*"))


def status(address: str) -> int:
    """Ask for a page."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def jobs_up(prometheus: str) -> set[str]:
    """Ask which jobs have a target that answers."""
    with urllib.request.urlopen(f"{prometheus}api/v1/query?query=up==1", timeout=10) as answer:
        return {each["metric"]["job"] for each in json.load(answer)["data"]["result"]}


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path, script: Path) -> None:
    """The distribution starts its own Prometheus at boot."""
    (port,) = re.findall(r'"prometheus", \("prometheus",\), (\d+)', script.read_text())
    with socket.create_server(("127.0.0.1", int(port))):
        environ = {"PATH": without_docker(tmp_path), "PYTHONPATH": str(ROOT)}
        with Fleet([sys.executable, str(script)], tmp_path / "out", environ, tmp_path) as fleet:
            assert fleet.end() == 78
            assert f"Error: taken already: {port} (prometheus); a service of the distribution?" in fleet.said()


def test_docker_runs_the_compose_file(tmp_path: Path, script: Path) -> None:
    """Where one answers it is preferred, with the broker that is named."""
    (tmp_path / "docker").write_text('#!/bin/sh\necho "docker $* for $CELERY_BROKER_URL"\n')
    (tmp_path / "docker").chmod(0o755)
    environ = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), "--broker", "redis://127.0.0.1:1/0"]
    with Fleet(command, tmp_path / "out", environ, tmp_path) as fleet:
        assert fleet.end() == 0
        file = script.with_name("docker-compose.monitoring.yml")
        assert f"docker compose -f {file} up for redis://127.0.0.1:1/0\n" in fleet.said()
