"""Fixtures for real services: started once a session, only when a test asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import otlp, services

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("shared", deadline=None)  # a machine that others share may stall in any example
settings.load_profile("shared")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Give the URL of a real Redis (or Valkey) that this session started."""
    with services.redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """Give the URL of a real RabbitMQ that this session started."""
    with services.rabbitmq_server() as url:
        yield url


@pytest.fixture(scope="session")
def promtool() -> str:
    """Give the path of Prometheus's own checker."""
    return services.promtool()


@pytest.fixture
def grpc() -> Iterator[otlp.Receiver]:
    """Give a fresh OTLP/gRPC receiver inside this process."""
    with otlp.grpc_receiver() as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[otlp.Receiver]:
    """Give a fresh OTLP/HTTP receiver inside this process."""
    with otlp.http_receiver() as opened:
        yield opened
