"""Fixtures for real Collectors: the one program, credentials to try with, and workers whose metrics it gets."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.collector import readme
from tests.integration.worker.conftest import database, open_site
from tests.services import built

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.worker.conftest import Site


@pytest.fixture(scope="session")
def otelcol() -> str:
    """Give the path of the Collector that was built from the project's manifest."""
    return built("otelcol-celery")


@pytest.fixture(scope="session")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate and a token with the very commands of README."""
    directory = tmp_path_factory.mktemp("credentials")
    subprocess.run(["sh", "-euc", readme.block("credentials")], cwd=directory, check=True, capture_output=True)
    return directory


@pytest.fixture
def secured(credentials: Path) -> dict[str, str]:
    """Point a Collector at them."""
    return secured_by(credentials)


def secured_by(credentials: Path) -> dict[str, str]:
    """Say where certificate, key, authority and token are."""
    files = {"CERT_FILE": "server.pem", "KEY_FILE": "server.key", "CA_FILE": "server.pem", "TOKEN_FILE": "token"}
    return {f"OTELCOL_{name}": str(credentials / file) for name, file in files.items()}


@pytest.fixture(scope="module")
def site(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a site on Redis, for the module's workers."""
    with open_site(database(redis_url, 5), database(redis_url, 6), tmp_path_factory.mktemp("site")) as opened:
        yield opened
