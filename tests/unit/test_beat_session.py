"""The place where beat's parts are joined: what is served, what is said, and what is left afterwards."""

from __future__ import annotations

import logging
import urllib.request
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from celery import signals
from celery.beat import Scheduler
from prometheus_client.parser import text_string_to_metric_families

from otel_celery import worker as module
from otel_celery.settings.settings import EX_CONFIG
from otel_celery.worker import instrument, on_beat_init
from tests.services import LOOPBACK, free_port
from tests.unit.beat.fakes import make_app
from tests.unit.record import contract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery


class Service:
    """A beat's Service, as far as ``beat_init`` shows it."""

    def __init__(self, app: Celery, scheduler: Any = None) -> None:
        """Have a scheduler."""
        self.app = app
        self.scheduler = Scheduler(app) if scheduler is None else scheduler


@pytest.fixture(autouse=True)
def _deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no log that takes what we say, so that it is on stderr."""
    monkeypatch.setattr("otel_celery.saying._logger", logging.Logger("deaf"))  # noqa: LOG001  outside the tree


@pytest.fixture
def app() -> Iterator[Celery]:
    """Make an app, and take our hands off it afterwards; no handler of ours is left."""
    before = list(signals.beat_init.receivers)
    app = make_app()
    yield app
    if app in module._handles:
        module._handles[app].uninstrument()
    assert signals.beat_init.receivers == before


@pytest.fixture
def enabled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Switch the metrics on, on a free port."""

    def switch(**more: str) -> int:
        port = free_port()
        for name, value in {"PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": str(port), **more}.items():
            monkeypatch.setenv(name, value)
        return port

    return switch


def families(port: int) -> dict[str, Any]:
    """Scrape a port."""
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_every_family_is_served(app: Celery, enabled: Callable[..., int]) -> None:
    """Those of the contract, each with its kind and labels, once the signal of a Service has come; twice is once."""
    port = enabled()
    instrument(app)
    service = Service(app)
    signals.beat_init.send(sender=service)
    on_beat_init(service)
    service.scheduler.tick()
    found = families(port)
    for name, family in contract.BEATS.items():
        shown = found[name.removesuffix("_total")]
        assert shown.type == family.kind
        assert {frozenset(sample.labels) - {"le"} for sample in shown.samples} == {family.labels}
    assert found["celery_beat_tasks_sent"].samples[0].value == 1
    module._handles[app].uninstrument()
    assert type(service.scheduler) is Scheduler
    with pytest.raises(OSError, match="refused"):
        families(port)


def test_what_beat_publishes(app: Celery, enabled: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on beat's port, without a worker, and each entry is published as often as it is sent; so is a failure."""
    port = enabled()
    instrument(app)
    service = Service(app)
    on_beat_init(service)
    service.scheduler.tick()
    service.scheduler.tick()
    monkeypatch.setattr("kombu.messaging.Producer.publish", Mock(side_effect=OSError("gone")))
    service.scheduler.tick()
    found = families(port)
    (sent,) = found["celery_task_published"].samples
    assert (sent.labels, sent.value) == ({"task_name": "proj.often", "queue": "celery"}, 2)
    assert found["celery_beat_tasks_sent"].samples[0].value == 2
    (failed,) = found["celery_task_publish_failures"].samples
    assert (failed.labels["exception"], failed.value) == ("OSError", 1)
    assert found["celery_beat_send_failures"].samples[0].value == 1


def test_beats_own_port(app: Celery, enabled: Callable[..., int]) -> None:
    """It wins over the other two."""
    own = free_port()
    other = enabled(OTEL_PYTHON_CELERY_BEAT_PORT=str(own))
    on_beat_init(Service(app))
    assert "otel_celery_folded" in families(own)
    with pytest.raises(OSError, match="refused"):
        families(other)


def test_off(app: Celery, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a setting nothing is put in front of anything, and nothing is said."""
    service = Service(app)
    on_beat_init(service)
    assert type(service.scheduler) is Scheduler
    assert capsys.readouterr().err == ""


def test_off_though_a_variable_is_set(
    app: Celery, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's two sentences: what is misspelt, and what alone switches nothing on."""
    monkeypatch.setenv("PROMETHEUS_PORT", "9101")
    monkeypatch.setenv("PROMETHUES_ENABLED", "true")
    on_beat_init(Service(app))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("otel-celery: WARNING: PROMETHUES_ENABLED is not a setting of otel-celery")
    assert second == (
        "otel-celery: WARNING: metrics are off for celery-beat: PROMETHEUS_PORT is set, and switches nothing on; "
        "PROMETHEUS_ENABLED=true does"
    )


def test_a_scheduler_that_cannot_be_observed(
    app: Celery, enabled: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, no port, and beat runs on, a strict one too: it is no mistake of the environment's."""
    port = enabled(OTEL_PYTHON_CELERY_STRICT="true")
    scheduler = Scheduler(app)
    scheduler.tick = lambda: 1.0
    on_beat_init(Service(app, scheduler))
    assert capsys.readouterr().err == (
        "otel-celery: ERROR: beat's metrics are off: its scheduler celery.beat.Scheduler cannot be observed "
        "(the object has a tick of its own)\n"
    )
    with pytest.raises(OSError, match="refused"):
        families(port)


@pytest.mark.parametrize("strict", ["true", ""])
def test_a_mistake(app: Celery, enabled: Callable[..., int], capsys: pytest.CaptureFixture[str], strict: str) -> None:
    """A worker's sentence; it ends a strict beat at once."""
    enabled(OTEL_PYTHON_CELERY_BUCKETS="x", OTEL_PYTHON_CELERY_STRICT=strict)
    if strict:
        with pytest.raises(SystemExit) as ended:
            on_beat_init(Service(app))
        assert ended.value.code == EX_CONFIG
    else:
        on_beat_init(Service(app))
    said = capsys.readouterr().err
    assert said.startswith("otel-celery: ERROR: OTEL_PYTHON_CELERY_BUCKETS='x' is not allowed")
    assert ("; the process ends (strict, status 78)" in said) is bool(strict)


def test_an_error_of_ours(
    app: Celery, enabled: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and beat runs on without us."""
    enabled()
    monkeypatch.setattr("otel_celery.beat_session.Pulse", lambda: 1 // 0)
    on_beat_init(Service(app))
    assert "could not start, metrics of celery-beat are off: ZeroDivisionError" in capsys.readouterr().err


def test_in_a_worker(app: Celery, enabled: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """The worker has the port, so that beat needs one of its own, and says so."""

    class Session:
        is_over = False

        def uninstall(self) -> None:
            pass

    enabled()
    session: Any = Session()
    instrument(app).sessions.add(session)
    service = Service(app)
    on_beat_init(service)
    assert type(service.scheduler) is Scheduler
    assert "set OTEL_PYTHON_CELERY_BEAT_PORT to a port" in capsys.readouterr().err
