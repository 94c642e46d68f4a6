"""Which tasks a worker is to expect, by the routes of real apps; asking changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kombu import Queue
from kombu.common import Broadcast

from otel_celery.observe import expected as routes
from otel_celery.observe.queues import QueueNames
from tests.unit.observe.fakes import Worker, make_app, nothing

if TYPE_CHECKING:
    from celery import Celery


def app_with(*names: str, **conf: Any) -> Celery:
    """Register tasks of these names."""
    app = make_app(**conf)
    for name in names:
        app.task(shared=False, name=name)(nothing)
    return app


def expected(app: Celery, *consumed: str) -> list[tuple[str, str]]:
    """Ask, and see that the app's queues are what they were."""
    if consumed:
        app.amqp.queues.select(consumed)
    before = dict(app.amqp.queues), dict(app.amqp.queues.consume_from)
    pairs = list(routes.expected(app, QueueNames(Worker(app)).consumed()))
    assert (dict(app.amqp.queues), dict(app.amqp.queues.consume_from)) == before
    return pairs


def test_a_task_without_a_route_goes_to_the_default_queue() -> None:
    """Celery's own tasks are left out, the app's come in the order of their names."""
    assert expected(app_with("proj.b", "proj.a")) == [("proj.a", "celery"), ("proj.b", "celery")]


def test_the_default_queue_may_have_another_name() -> None:
    """task_default_queue is followed."""
    assert expected(app_with("proj.a", task_default_queue="main")) == [("proj.a", "main")]


@pytest.mark.parametrize(
    "route",
    [
        {"proj.a": {"queue": "trading"}},
        {"proj.a": "trading"},
        {"proj.*": {"queue": "trading"}},
        [[("proj.a", {"queue": "trading"})]],
        lambda name, *_, **__: {"queue": "trading"} if name == "proj.a" else None,
        {"proj.a": {"queue": Queue("trading")}},
    ],
    ids=["dict", "text", "pattern", "list", "function", "Queue"],
)
def test_task_routes_are_followed(route: Any) -> None:
    """Each manner of writing a route leads to its queue, and other tasks to the default."""
    app = app_with("proj.a", "other.b", task_routes=route, task_queues=[Queue("trading"), Queue("celery")])
    assert expected(app) == [("other.b", "celery"), ("proj.a", "trading")]


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")  # 5.7 would rather have task_routes
def test_a_task_may_name_its_own_queue() -> None:
    """The queue that stands at the task counts."""
    app = app_with("proj.b", task_queues=[Queue("trading"), Queue("celery")])
    app.task(shared=False, name="proj.a", queue="trading")(nothing)
    assert expected(app) == [("proj.a", "trading"), ("proj.b", "celery")]


def test_a_queue_that_is_not_consumed_is_left_out() -> None:
    """A worker does not make series for tasks that other workers run."""
    app = app_with(
        "proj.a", "proj.b", task_routes={"proj.a": "trading"}, task_queues=[Queue("trading"), Queue("celery")]
    )
    assert expected(app, "trading") == [("proj.a", "trading")]


def test_a_route_to_an_unknown_queue_makes_none() -> None:
    """Routing through the app's queues would add the unknown one, and Celery 5.6 would consume it."""
    app = app_with("proj.a", "proj.b", task_routes={"proj.a": "nowhere"})
    assert expected(app) == [("proj.b", "celery")]
    assert "nowhere" not in app.amqp.queues


def test_a_router_that_raises_costs_its_own_task_alone() -> None:
    """It is the user's code, and expects arguments that there are none of."""

    def route(name: str, args: Any, *_: Any, **__: Any) -> Any:
        return {"queue": args[0]} if name == "proj.a" else None

    assert expected(app_with("proj.a", "proj.b", task_routes=(route,))) == [("proj.b", "celery")]


def test_a_task_that_names_an_exchange_has_no_queue() -> None:
    """Where the destination is an exchange, the queue cannot be told."""

    def route(*_: Any, **__: Any) -> Any:
        return {"exchange": "shop", "routing_key": "key"}

    assert expected(app_with("proj.a", task_routes=(route,))) in ([], [("proj.a", "celery")])


def test_celerys_own_tasks_are_left_out() -> None:
    """They come when they come."""
    app = app_with("celery.mine", "proj.a")
    assert any(name.startswith("celery.") for name in app.tasks)
    assert [name for name, _ in expected(app)] == ["proj.a"]


def test_a_route_to_a_broadcast_queue_goes_by_its_alias() -> None:
    """A task that is broadcast is expected under the alias, as its messages are counted."""
    app = app_with("proj.a", task_routes={"proj.a": "notices"}, task_queues=[Broadcast("notices")])
    assert expected(app) == [("proj.a", "notices")]
