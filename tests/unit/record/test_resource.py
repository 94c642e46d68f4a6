"""What the resource says by itself, and that the environment has the last word."""

from __future__ import annotations

import os
import socket
import uuid

import pytest
from opentelemetry.sdk.resources import Resource

from otel_celery.record.resource import of_worker


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)


def test_it_tells_of_service_worker_process_and_host() -> None:
    """Each attribute is there, and the instance's id is a random UUID."""
    told = of_worker("trading@host1", "shop").attributes
    assert told["service.name"] == "shop"
    assert (told["celery.worker.name"], told["celery.pool.name"]) == ("trading@host1", "trading")
    assert (told["process.pid"], told["host.name"]) == (os.getpid(), socket.gethostname())
    assert {"host.arch", "process.runtime.version", "process.executable.name", "telemetry.sdk.version"} <= set(told)
    assert uuid.UUID(str(told["service.instance.id"])).version == 4
    assert "process.command_line" not in told, "arguments may hold secrets"
    assert "service.namespace" not in told


def test_the_instances_id_is_the_same_for_the_life_of_the_process() -> None:
    """Asked twice, it is the same, and the SDK's own for this process."""
    ids = {str(found.attributes["service.instance.id"]) for found in (of_worker("w@h", "a"), of_worker("w@h", "a"))}
    assert ids == {str(Resource.create().attributes["service.instance.id"])}


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attribute can be said otherwise, and OTEL_SERVICE_NAME beats the list."""
    said = "service.name=x,service.namespace=team,service.instance.id=7,host.name=h,celery.pool.name=p,process.pid=1"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", said)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "y")
    told = of_worker("trading@host1", "shop").attributes
    expected = dict(pair.split("=") for pair in said.split(",")) | {"service.name": "y"}
    assert {name: told[name] for name in expected} == expected
