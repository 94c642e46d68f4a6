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


@pytest.fixture(params=["npm", "pnpm"])
def manager(request: pytest.FixtureRequest) -> str:
    """Find npm, or pnpm."""
    name: str = request.param
    how = {"npm": "apt-get install npm", "pnpm": "npm install --global pnpm@9"}
    return require(shutil.which(name), f"{name} is not installed: {how[name]}")


@pytest.mark.parametrize(("script", "pools"), [("celery", tuple(POOLS)), ("celery:trading", ("trading",))])
def test_a_port_changed_in_package_json_is_the_workers_port(
    yard: Yard, manager: str, script: str, pools: tuple[str, ...]
) -> None:
    """The five pools by one script, one pool by its own: both read the same line. SIGTERM leaves nothing behind."""
    text = PACKAGE.read_text(encoding="utf-8")
    ports = {pool: free_port() for pool in POOLS}
    for pool, documented in POOLS.items():
        assert text.count(f"PROMETHEUS_PORT={documented}") == 1
        text = text.replace(f"PROMETHEUS_PORT={documented}", f"PROMETHEUS_PORT={ports[pool]}")
    (yard.directory / "package.json").write_text(text, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"CELERY_BROKER_URL": yard.broker, "PATH": path}
    with Fleet([manager, "run", script], yard.directory / "out", environ, yard.directory) as fleet:
        for pool in pools:
            fleet.wait_for(f"metrics server started on port {ports[pool]} for worker {pool}@localhost")
        fleet.wait_for(r"\w+@localhost ready\.", len(pools))
        fleet.process.terminate()
        fleet.end()
        fleet.gone()
        assert fleet.said().count("stopped (exit status 0)") == len(pools)
