"""Whatever value the SDK takes in one process is taken in a child, with the same exposition, or costs itself alone."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.integration.relay.facts import call
from tests.integration.relay.hostile import MAKERS
from tests.integration.relay.played import OBSERVABLE, PLACES, SYNCHRONOUS, play
from tests.integration.worker.harness import wait_until
from tests.integration.worker.pushed import pushing
from tests.integration.worker.ways import pools

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Scrape, Worker

RUNS = 2
"""How often all of it is recorded: the second time it is added to the first."""

NAMES = {
    "counter": "v_counter_{}_total",
    "updown": "v_updown_{}",
    "gauge": "v_gauge_{}",
    "histogram": "v_histogram_{}_sum",
    "seen": "v_seen_{}_total",
    "held": "v_held_{}",
    "heat": "v_heat_{}",
}
"""What the port calls the instruments of the values."""


@pytest.fixture(scope="module")
def raised() -> dict[str, str]:
    """Tell what the bare SDK raises at whoever records these values."""
    logging.disable()
    try:
        provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
        return play(provider.get_meter("values"))
    finally:
        logging.disable(logging.NOTSET)


def started(site: Site, pool: str, **environment: str) -> Worker:
    """Start a worker with one child."""
    return site.start(
        app="tests.integration.relay.values", pool=pool, concurrency=1, environment=environment
    ).wait_ready()


def numbers(raised: dict[str, str]) -> dict[tuple[str, str], float]:
    """Give the number that each instrument comes to, by the instrument and the value that it was given."""
    found: dict[tuple[str, str], float] = {}
    for name, (_, number) in MAKERS.items():
        for kind in SYNCHRONOUS + OBSERVABLE:
            taken_as = "gauge" if kind in OBSERVABLE else kind  # the SDK asks alike, and only says it in the log
            if number is not None and f"v.{taken_as}.{name}" not in raised:
                found[kind, name] = number if kind in {"gauge", *OBSERVABLE} else number * RUNS
    return found


def labelled(raised: dict[str, str], place: str) -> Counter[str]:
    """Count how often each value was recorded at this place of a label."""
    return Counter({name: RUNS for name in MAKERS if f"l.{place}.{name}" not in raised})


def wait_for_all(expected: dict, shown: Callable[[], dict]) -> None:
    """Wait until all is as it should be, and say what differs if it never is."""
    differing: dict = {}

    def differs() -> bool:
        seen = shown()
        differing.clear()
        differing.update({key: (seen.get(key), value) for key, value in expected.items() if seen.get(key) != value})
        return bool(differing)

    try:
        wait_until(lambda: not differs(), "all is shown")
    except AssertionError as error:
        pytest.fail(f"{error}: shown and expected: {differing}")


def cases_shown(scrape: Scrape, place: str) -> Counter[str]:
    """Read from the port how often each case of a label was counted."""
    return Counter({s.labels["case"]: s.value for s in scrape.samples if s.name == f"l_{place}_total"})


def shown(scrape: Scrape) -> dict:
    """Read the table from the port."""
    values = {sample.name: sample.value for sample in scrape.samples}
    return {
        (kind, name): values[called.format(name)]
        for kind, called in NAMES.items()
        for name in MAKERS
        if called.format(name) in values
    }


@pytest.mark.parametrize(("pool", "method"), [("prefork", "fork"), ("prefork", "spawn")])
def test_f66_every_value_from_a_child(site: Site, pool: str, method: str, raised: dict[str, str]) -> None:
    """Whoever records meets what the bare SDK has for them; each number is right, and each label set is one series."""
    worker = started(site, pool, T_START_METHOD=method)
    for _ in range(RUNS):
        assert call(site, "values.play") == raised
    wait_for_all(numbers(raised), lambda: shown(worker.scrape()))
    for place in PLACES:  # a child's message may be told of in parts, this one after the numbers
        wait_for_all(labelled(raised, place), lambda: cases_shown(worker.scrape(), place))  # noqa: B023
    scrape = worker.scrape()
    for place in PLACES:
        assert cases_shown(scrape, place) == labelled(raised, place)
    assert {shop: scrape.value("shop_orders_total", shop=shop) for shop in ("before", "after")} == {
        "before": RUNS,
        "after": RUNS,
    }
    assert not scrape.has("v_gauge_once")
    assert not scrape.has("v_gauge_exit")
    dropped = {s.labels["reason"]: s.value for s in scrape.samples if s.name == "otel_celery_relay_dropped_total"}
    assert dropped.pop("value") >= RUNS * 2, "the gauges that raise when they are asked a second time"
    assert set(dropped.values()) == {0}
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert worker.log.count("is nothing that can be made plain") == 1
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", pools("threads"))
def test_f66_every_value_is_shown_from_a_child_as_from_a_thread(site: Site, pool: str, raised: dict[str, str]) -> None:
    """The port shows the same samples, wherever the tasks run."""
    seen = []
    for kind in (pool, "prefork"):
        worker = started(site, kind)
        assert call(site, "values.play") == raised
        wait_for_all({("heat", "int"): 3, ("gauge", "int"): 3}, lambda: shown(worker.scrape()))  # noqa: B023
        samples = worker.settled().samples
        seen.append(
            {(s.name, *sorted(s.labels.items())): str(s.value) for s in samples if s.name.startswith(("v_", "l_"))}
        )
        assert worker.stop() == 0
    assert seen[1] == seen[0]


WAYS = [
    pytest.param("prefork", "fork", marks=pytest.mark.prefork),
    pytest.param("prefork", "spawn", marks=pytest.mark.prefork),
    pytest.param("threads", "", marks=pytest.mark.threads),
]


@pytest.mark.parametrize(("pool", "method"), WAYS)
def test_f66_every_value_over_otlp(site: Site, receiver, raised: dict[str, str], pool: str, method: str) -> None:
    """Integers of at most 64 bits are pushed as integers, all others as doubles; and the labels of everything."""
    environment = {"T_START_METHOD": method} if method else {}
    worker = started(site, pool, **pushing(receiver, OTEL_METRIC_EXPORT_INTERVAL="500"), **environment)
    for _ in range(RUNS):
        assert call(site, "values.play") == raised
    wait_for_all(numbers(raised), lambda: pushed(receiver))
    whole = {name for kind, name in pushed(receiver, "as_int") if kind == "gauge"}
    assert whole == {"int", "bool", "anyint", "intenum", "intflag", "nointstr", "allint"} - refused(raised, "gauge")
    for place in PLACES:  # perhaps in a later push than the numbers
        wait_for_all(labelled(raised, place), lambda: cases_pushed(receiver, place))  # noqa: B023
        assert cases_pushed(receiver, place) == labelled(raised, place)
    assert worker.stop() == 0
    assert receiver.latest("shop.orders", shop="after") == RUNS


def refused(raised: dict[str, str], kind: str) -> set[str]:
    """Name the values that the SDK does not take for this instrument."""
    return {name for name in MAKERS if f"v.{kind}.{name}" in raised}


def cases_pushed(receiver, place: str) -> Counter[str]:
    """Read how often each case of a label was counted, from what arrived last."""
    return Counter({p.attributes["case"]: p.value for p in receiver.points(f"l.{place}")})


def pushed(receiver, only: str = "") -> dict:
    """Read the table from what arrived last."""
    found: dict = {}
    for point in receiver.points():
        scope, _, rest = point.name.partition(".")
        if scope == "v":
            kind, _, name = rest.partition(".")
            if point.kind == "histogram":
                found[kind, name] = point.data.sum
            elif not only or point.data.WhichOneof("value") == only:
                found[kind, name] = point.value
    return found
