"""`otel-celery pools up` without a broker: the sentence names what is missing, and only what is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from otel_celery.pools import nowhere, plan
from otel_celery.settings import brokers
from tests.services import free_port
from tests.unit.test_cli import call

if TYPE_CHECKING:
    from pathlib import Path

URL = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """Give the port of Celery's default, at which nothing answers, in a directory without a pools.toml."""
    port = free_port()
    monkeypatch.setattr(nowhere, "DEFAULT", ("localhost", port))
    monkeypatch.chdir(tmp_path)
    return port


def said(**variables: str) -> str | None:
    """Return the sentence about the example's pools, with these variables."""
    return nowhere.sentence(plan.read(plan.EXAMPLE), {**os.environ, **variables})


def test_each_of_celerys_two_sides_counts(port: int) -> None:
    """A worker opens a connection to consume and one to publish: with one of them alone it never begins."""
    nothing = f"and nothing answers at Celery's default, amqp://localhost:{port}"
    app = "the app 'otel_celery.demo.app' names"
    neither = "neither CELERY_BROKER_URL nor CELERY_BROKER_{}_URL is set"
    assert said() == f"CELERY_BROKER_URL is not set, {app} no broker itself, {nothing}"
    needs = "no broker to publish to, which its workers need to begin"
    assert said(CELERY_BROKER_READ_URL=URL) == f"{neither.format('WRITE')}, {app} {needs}, {nothing}"
    assert said(CELERY_BROKER_WRITE_URL=URL) == f"{neither.format('READ')}, {app} no broker to consume from, {nothing}"
    assert said(CELERY_BROKER_READ_URL=URL, CELERY_BROKER_WRITE_URL=URL) is None


@pytest.mark.parametrize("name", [brokers.CONSUMED, brokers.PUBLISHED])
def test_no_broker_of_ours_stands_beside_one_that_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Celery would consume from the one and publish to the other."""
    monkeypatch.setenv(name, URL)
    done = call("pools", "up", "trading")
    assert done.exit_code == 78
    assert f"Error: {said(**{name: URL})}" in done.stderr
