"""One worker's session: what is opened when, and that a part which does not work costs no other part."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import pytest

from otel_celery.relay import sdk
from otel_celery.session import Session
from otel_celery.settings.settings import read
from tests.services import free_port
from tests.unit.observe.fakes import Worker, make_app

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def port() -> int:
    """Give a port that nobody listens on."""
    return free_port()


@pytest.fixture
def worker() -> Worker:
    """Give a worker whose pool is its own main thread."""
    return Worker(make_app(), consumer_cls="celery.worker.consumer:Consumer", pool_cls="solo", concurrency=1)


@pytest.fixture
def session(port: int, worker: Worker) -> Iterator[Session]:
    """Give a session with a port, and close it."""
    made = Session(worker, read({"PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": str(port)}))
    yield made
    made.uninstall()


def answers(port: int) -> bool:
    """Tell whether somebody serves metrics there."""
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=5) as answer:
            return b"celery_worker_up" in answer.read()
    except OSError:
        return False


def test_the_port_is_opened_once_the_pool_has_started(session: Session, port: int) -> None:
    """A child must not inherit it; and it is closed with the session."""
    session.install()
    session.pool_prepared()
    assert not answers(port)
    session.pool_started()
    assert answers(port)
    session.uninstall()
    assert not answers(port)
    assert session.is_over


def test_a_session_that_is_over_opens_nothing(session: Session, port: int) -> None:
    """As where the handle was taken back before the worker had started."""
    session.install()
    session.uninstall()
    session.pool_prepared()
    session.pool_started()
    assert not answers(port)


@pytest.mark.parametrize("beat", [False, True])
def test_the_relay_hears_beat_where_the_pool_has_no_processes(session: Session, worker: Worker, *, beat: bool) -> None:
    """A beat that the worker starts (``-B``) is a process all the same; without one there is nobody to hear."""
    worker.options = {"beat": beat}
    session.install()
    relay = session._outlets.relay
    assert relay is not None
    assert relay.hears_children is beat


def test_a_name_of_the_sdk_that_has_moved_costs_the_relay_alone(
    session: Session, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a sentence for the operator; the port is opened."""

    def moved() -> None:
        raise sdk.SdkMovedError("_reader_storages")

    monkeypatch.setattr(sdk, "check", moved)
    session.install()
    (sentence,) = session.warnings
    assert sentence == "what tasks record with OpenTelemetry is not shown: _reader_storages"
    session.pool_started()
    assert answers(port)


def test_a_worker_that_is_started_again_is_told_that_it_has_no_metrics(
    session: Session, port: int, worker: Worker, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Its counters were closed with its first life."""
    session.install()
    session.pool_started()
    worker.stop()
    session.pool_started()
    said = [*capsys.readouterr().err.splitlines(), *caplog.messages]
    assert (
        len([line for line in said if "worker w@h was over and is started again: it has no metrics now" in line]) == 1
    )
    assert not answers(port)
