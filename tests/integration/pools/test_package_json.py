"""The documented `pnpm celery`: package.json starts the pools, and a port is changed in one place."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.pools.fleet import Fleet
from tests.services import free_port, require

if TYPE_CHECKING:
    from tests.integration.pools.conftest import Yard

PACKAGE = Path(__file__).parents[3] / "package.json"
POOLS = {"trading": 9101, "pipeline": 9102, "allocation": 9103, "market": 9104, "general": 9105}


CLONE = ("package.json", "Makefile", "pyproject.toml", "README.md", "LICENSE")
"""What the package is installed with, beside itself."""


def found(manager: str) -> str:
    """Find npm, or pnpm."""
    how = {"npm": "apt-get install npm", "pnpm": "npm install --global pnpm@9"}
    return require(shutil.which(manager), f"{manager} is not installed: {how[manager]}")


def changed(directory: Path) -> dict[str, int]:
    """Write package.json with other ports into a directory, and give these by their pools."""
    text = PACKAGE.read_text(encoding="utf-8")
    ports = {pool: free_port() for pool in POOLS}
    for pool, documented in POOLS.items():
        assert text.count(f"PROMETHEUS_PORT={documented}") == 1
        text = text.replace(f"PROMETHEUS_PORT={documented}", f"PROMETHEUS_PORT={ports[pool]}")
    (directory / "package.json").write_text(text, encoding="utf-8")
    return ports


@pytest.mark.services  # pip asks for what the demo needs
def test_a_fresh_clone_installs_what_it_needs_and_runs(tmp_path: Path) -> None:
    """Without anything of ours on PATH, and without a broker: it has one of its own, and says so."""
    for name in CLONE:
        shutil.copy(PACKAGE.with_name(name), tmp_path)
    shutil.copytree(PACKAGE.with_name("otel_celery"), tmp_path / "otel_celery")
    port = changed(tmp_path)["trading"]
    ours = str(Path(sys.executable).parent)
    path = os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if each != ours)
    environ = {"PATH": path, "PYTHON": sys.executable, "PYTHONPATH": "", "CELERY_BROKER_URL": ""}
    with Fleet([found("npm"), "run", "celery:trading"], tmp_path / "out", environ, tmp_path) as fleet:
        fleet.wait_for(f"metrics server started on port {port} for worker trading@localhost", seconds=90)
        fleet.wait_for(r"trading@localhost ready\.")
        fleet.process.terminate()
        fleet.end()
        fleet.gone()
        assert fleet.said().count("stopped (exit status 0)") == 1
        assert "the pools use a broker of their own, redis://127.0.0.1:" in fleet.said()
        assert (tmp_path / ".venv" / "bin" / "otel-celery").exists()


@pytest.mark.parametrize(
    ("manager", "script", "pools"),
    [
        ("npm", "celery", tuple(POOLS)),
        ("pnpm", "celery", tuple(POOLS)),
        ("pnpm", "celery:trading", ("trading",)),
    ],
)
def test_a_port_changed_in_package_json_is_the_workers_port(
    yard: Yard, manager: str, script: str, pools: tuple[str, ...]
) -> None:
    """The five pools by one script, one pool by its own: both read the same line. SIGTERM leaves nothing behind."""
    ports = changed(yard.directory)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"CELERY_BROKER_URL": yard.broker, "PATH": path}
    with Fleet([found(manager), "run", script], yard.directory / "out", environ, yard.directory) as fleet:
        for pool in pools:
            fleet.wait_for(f"metrics server started on port {ports[pool]} for worker {pool}@localhost")
        fleet.wait_for(r"\w+@localhost ready\.", len(pools))
        fleet.process.terminate()
        fleet.end()
        fleet.gone()
        assert fleet.said().count("stopped (exit status 0)") == len(pools)
