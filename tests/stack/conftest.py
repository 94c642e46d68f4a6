"""Fixtures of the stack's tests: the committed files, copied where their addresses are free ones."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.stack.servers import MONITORING, FreePorts, repointed

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = {".yml", ".conf"}


@pytest.fixture
def ports() -> FreePorts:
    """Give each documented port a free one."""
    return FreePorts()


@pytest.fixture
def monitoring(tmp_path: Path, ports: FreePorts) -> Path:
    """Copy devops/monitoring, with a free port for each documented one."""
    copy = tmp_path / "monitoring"
    shutil.copytree(MONITORING, copy)
    for file in copy.rglob("*"):
        if file.suffix in CONFIGURATION:
            file.write_text(repointed(file.read_text(), ports))
    return copy


@pytest.fixture(params=["3.13", "2.42"])
def version(request: pytest.FixtureRequest) -> str:
    """Name the Prometheus: the one that compose pins, then Debian's."""
    value: str = request.param
    return value
