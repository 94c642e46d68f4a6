"""Which queues are asked for: those that an app declares, routes to, or gives its tasks; or the operator's."""

from __future__ import annotations

import pytest
from celery import Celery
from kombu import Queue
from kombu.common import Broadcast

from otel_celery.queues.names import named, of_app

pytestmark = pytest.mark.filterwarnings("ignore:\\s*The 'queue' task attribute:DeprecationWarning")


def app() -> Celery:
    """Make an app that names queues in every way."""
    made = Celery("post", broker="memory://", set_as_current=False)
    made.conf.task_queues = [Queue("letters"), Broadcast("news")]
    made.conf.task_default_queue = "letters"
    made.conf.task_routes = [{"post.fax": {"queue": "faxes"}, "post.x": "crates"}, lambda *_: {"queue": "hidden"}]
    made.task(shared=False, name="post.wire", queue=Queue("wires"))(named)
    return made


def test_an_apps_queues() -> None:
    """Broadcasts and what a function chooses are left out; each name is there once, and known to exist."""
    asked = of_app(app())()
    assert list(asked.names) == ["letters", "faxes", "crates", "wires"]
    assert asked.known == {"letters", "faxes", "crates", "wires"}


def test_routes_may_be_pairs() -> None:
    """As Celery's guide has them, since their order counts."""
    made = Celery("post", broker="memory://", set_as_current=False)
    made.conf.task_routes = ([("feed.*", {"queue": "feeds"}), ("web.*", "webs")],)
    assert list(of_app(made)().names) == ["celery", "feeds", "webs"]


def test_queues_that_the_app_gets_later_are_asked_for_too() -> None:
    """The names are read anew for each refresh."""
    made = app()
    ask = of_app(made)
    made.amqp.queues.add("parcels")
    assert "parcels" in ask().names


def test_the_operators_names() -> None:
    """They alone are asked for; which of them exist the app knows, if there is one."""
    assert named(["letters", "x"])().known == ()
    asked = named(["letters", "x"], app())()
    assert (list(asked.names), "letters" in asked.known, "x" in asked.known) == (["letters", "x"], True, False)
