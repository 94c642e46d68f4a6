"""Fixtures of the stack's tests: the committed files, copied where their addresses are free ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.stack.servers import FreePorts, copied

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ports() -> FreePorts:
    """Give each documented port a free one."""
    return FreePorts()


@pytest.fixture
def monitoring(tmp_path: Path, ports: FreePorts) -> Path:
    """Copy devops/monitoring, with a free port for each documented one."""
    return copied(tmp_path / "monitoring", ports)


@pytest.fixture(params=["3.13", "2.42"])
def version(request: pytest.FixtureRequest) -> str:
    """Name the Prometheus: the one that compose pins, then Debian's."""
    value: str = request.param
    return value
