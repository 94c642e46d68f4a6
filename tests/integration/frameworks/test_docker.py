"""The Docker example: its files agree with each other, and their commands work outside a container as well."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.integration.frameworks.examples import FRAMEWORKS, Example
from tests.integration.worker.harness import ROOT
from tests.services import built

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.worker.conftest import Site

HERE = FRAMEWORKS / "docker"
DOCKERFILE = (HERE / "Dockerfile").read_text()


def instructions(name: str) -> list[str]:
    """List what follows an instruction of the Dockerfile."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


@pytest.fixture
def services() -> dict[str, Any]:
    """Read the services of the compose file."""
    found: dict[str, Any] = yaml.safe_load((HERE / "compose.yaml").read_text())["services"]
    return found


def test_compose_accepts_its_file() -> None:
    """Compose's own parser reads it, and finds the Dockerfile's context: this checkout."""
    command = [built("docker-compose"), "-f", str(HERE / "compose.yaml"), "config", "--format", "json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 0, answer.stderr
    build = json.loads(answer.stdout)["services"]["worker"]["build"]
    assert build["context"] == str(ROOT)
    assert (ROOT / build["dockerfile"]).read_text() == DOCKERFILE


def test_what_is_copied_is_there_and_enough_to_build() -> None:
    """Every COPY finds its file, and the build of the package asks for no other."""
    copied = {source for line in instructions("COPY") for source in line.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"], *wheel}
    assert needed <= copied
    assert project["tool"]["hatch"]["version"]["path"].split("/")[0] in wheel


def test_prometheus_finds_the_workers_port(services: dict[str, Any], promtool: str) -> None:
    """Prometheus's checker accepts the file that compose mounts; it names the service worker and its port."""
    (mount,) = services["prometheus"]["volumes"]
    file = HERE / mount.split(":")[0]
    answer = subprocess.run([promtool, "check", "config", file], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (job,) = yaml.safe_load(file.read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert found["names"] == ["worker"]
    assert str(found["port"]) == services["worker"]["environment"]["PROMETHEUS_PORT"]


def test_nothing_is_published_beyond_the_loopback(services: dict[str, Any]) -> None:
    """The host's own ports are on 127.0.0.1, and the worker's is not published at all."""
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == {"web", "prometheus"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


@pytest.mark.prefork
def test_the_containers_commands_work(site: Site, tmp_path: Path, services: dict[str, Any]) -> None:
    """The image's CMD with compose's environment is a worker that the health check finds ready, and SIGTERM ends it."""
    pytest.importorskip("fastapi", reason="pip install --group frameworks")
    example = Example(FRAMEWORKS / "fastapi", site.broker, tmp_path)  # whose file the image holds
    assert f"docs/frameworks/{example.directory.name}/shop.py ./" in instructions("COPY")
    environ = services["worker"]["environment"]
    environ |= {"CELERY_BROKER_URL": site.broker, "PROMETHEUS_PORT": str(example.ports[9101])}
    start = shlex.join(json.loads(instructions("CMD")[0]))
    kind, *check = services["worker"]["healthcheck"]["test"]
    assert kind == "CMD"
    serve = shlex.join(services["web"]["command"]).replace("8000", str(example.ports[8000]))
    with example.start(start, **environ) as worker, example.start(serve) as web:
        worker.wait_for(r"shop@\S+ ready\.")
        web.wait_for("Uvicorn running on")
        assert "ready" in example.run(shlex.join(check), **environ)
        example.run(f"curl -fsS -X POST http://localhost:{example.ports[8000]}/orders/7")
        example.wait_for_success("shop.send_receipt")
        worker.process.terminate()
        assert worker.end() == 0
