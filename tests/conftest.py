"""Fixtures for real services: started once a session, only when a test asks for them."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import otlp, rabbitmq, services

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = "OTEL_CELERY_TEST_EXAMPLES"
"""How many examples are tried of a property, or how many times so many; the cells of the matrix try fewer."""

# Without a deadline: a shared machine may stall in any example.
settings.register_profile("shared", deadline=None, max_examples=int(os.environ.get(EXAMPLES, "50")))
settings.load_profile("shared")


OTHERS = ("integration/stack", "integration/collector")
"""Where tests start servers that are not ours, nor Redis."""

SHARED = {"rabbitmq_url", "managed"}
"""Fixtures that are one RabbitMQ for a session."""


def pytest_configure() -> None:
    """Let all that the tests start be interrupted, and have none of it use a broker that the developer's shell names.

    A shell ignores SIGINT and SIGQUIT for what it runs beside it. Celery prefers these variables to what an app says.
    """
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND"):
        os.environ.pop(name, None)
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a test of somebody else's server twice more, on a machine that may stall; ours have one try.

    Tests that share a RabbitMQ run in one process: a node takes six seconds of a core to start.
    """
    for item in items:
        if SHARED.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.rabbitmq)
            if not item.get_closest_marker("xdist_group"):
                item.add_marker(pytest.mark.xdist_group("rabbitmq"))
        is_in_their_place = any(f"/tests/{part}/" in item.path.as_posix() for part in OTHERS)
        if is_in_their_place or item.get_closest_marker("rabbitmq") or item.get_closest_marker("theirs"):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Give the URL of a real Redis (or Valkey) that this session started."""
    with services.redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """Give the URL of a real RabbitMQ that this session started."""
    with rabbitmq.node() as node:
        yield node.url


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
