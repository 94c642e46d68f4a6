"""The books and levels as a scrape sees them: every family of the contract, no label too many, none empty."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from otel_celery.lifecycle import Exit, Limit, Outcome, Revocation, Unknown, Where
from otel_celery.settings.settings import Bounds, Settings
from tests.integration.collector.readme import formula
from tests.unit.record import contract
from tests.unit.record.fakes import FailingLevels, FakeLevels, families, recording, samples, scrape, value

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

GOLDEN = Path(__file__).with_name("exposition.txt")
"""One task's whole life, as it is exported; made by hand once, and read by a person when it changes."""

RECORDED = ("_count", "_sum", "_bucket")

NASTY = (
    "lone\ud800surrogate",
    "new\nline",
    'quo"te',
    "back\\slash",
    "nul\0",
    "\U0001f600",
    "comma,brace}",
    "\u2028",
    "\r",
)


def one_life(levels: FakeLevels | None = None):
    """Record one of everything."""
    opened = recording(levels=levels or FakeLevels(ages={"proj.add": 12.5}), buckets=(0.1, 1.0))
    book = opened.tallies.task("proj.add", "trading")
    book.received(redelivered=True)
    book.started(0.25, -0.5)
    for outcome in Outcome:
        book.ended(outcome, 0.5, 0.125)
    book.raised("ValueError")
    book.revoked(Revocation.EXPIRED)
    book.timed_out(Limit.SOFT)
    book.last_success = 1_000.25
    opened.tallies.began = 990.75
    opened.tallies.message_unknown(Unknown.INVALID)
    opened.tallies.process_exited(Exit.KILLED)
    opened.tallies.reconnected()
    publishes = opened.publishes(Settings(buckets=(0.1, 1.0)))
    publishes.published("proj.add", "trading", 0.5, None)
    publishes.published("proj.add", "trading", 0.25, "OperationalError")
    return opened


def test_every_family_of_the_contract_is_exported() -> None:
    """Each metric has its exported name and its kind, and nothing else of ours is exported."""
    found = {name: family.type for name, family in families(one_life().registry).items()}
    assert found == {name: family.kind for name, family in contract.WORKERS.items()}


@pytest.mark.parametrize("name", contract.WORKERS)
def test_each_sample_has_exactly_its_labels(name: str) -> None:
    """The labels of a family are the contract's on every series, and no value is empty."""
    found = samples(one_life().registry, name)
    assert found
    for sample in found:
        own = {"le"} if sample.name.endswith("_bucket") else set()
        assert set(sample.labels) == contract.WORKERS[name].labels | own
        assert all(sample.labels.values()), sample


def test_a_new_book_is_exported_as_zeros() -> None:
    """Counters whose labels are known beforehand begin at 0, so that a first failure shows in increase()."""
    opened = recording()
    opened.tallies.task("proj.add", "trading")
    book = {"worker": "w@h", "task_name": "proj.add", "queue": "trading"}
    for name, family in contract.WORKERS.items():
        found = samples(opened.registry, name)
        if family.kind == "histogram" or name in {
            "celery_task_failures_by_exception_total",
            "celery_task_published_total",
            "celery_task_publish_failures_total",
            "celery_task_last_success_timestamp_seconds",
            "celery_worker_oldest_active_task_seconds",
        }:
            assert found == [], "these begin with their first observation"
        elif family.kind == "counter":
            assert found
            assert {sample.value for sample in found} == {0.0}
            assert all(sample.labels == book | sample.labels for sample in found if "task_name" in family.labels)


def test_a_task_has_as_many_series_as_the_collectors_page_says() -> None:
    """The formula of collector/README.md counts a task's zeros, its first success, and an exception's class."""
    opened = recording()
    counts = [own_series(opened.registry)]
    book = opened.tallies.task("proj.add", "trading")
    counts.append(own_series(opened.registry))
    book.received(redelivered=False)
    book.started(0.25)
    book.ended(Outcome.SUCCESS, 0.5, 0.125)
    counts.append(own_series(opened.registry))
    book.raised("ValueError")
    counts.append(own_series(opened.registry))
    said = formula()
    assert [after - before for before, after in pairwise(counts)] == [said.task, said.succeeded, 1]


def own_series(registry: CollectorRegistry) -> int:
    """Count the series of the contract's metrics."""
    return sum(len(samples(registry, name)) for name in contract.WORKERS)


@pytest.mark.parametrize(("name", "label"), contract.CLOSED)
def test_every_value_of_a_closed_label_is_there(name: str, label: str) -> None:
    """Each status, reason and limit has a series from the beginning."""
    opened = recording()
    opened.tallies.task("proj.add", "trading")
    found = [sample.labels[label] for sample in samples(opened.registry, name)]
    assert sorted(found) == sorted(contract.CLOSED[name, label])


def test_our_own_counters_begin_at_zero() -> None:
    """What we swallow and fold is a series before anything is."""
    opened = recording()
    where = {sample.labels["where"] for sample in samples(opened.registry, "otel_celery_internal_errors_total")}
    what = {sample.labels["what"] for sample in samples(opened.registry, "otel_celery_folded_total")}
    assert where == {each.value for each in Where} - {"queues", "beat"}, "these are of other processes"
    assert what == {"task_name", "exception", "queue"}


@pytest.mark.parametrize(
    ("outcome", "counter"),
    [
        (Outcome.SUCCESS, "celery_task_succeeded_total"),
        (Outcome.FAILURE, "celery_task_failed_total"),
        (Outcome.RETRY, "celery_task_retried_total"),
        (Outcome.REJECTED, "celery_task_rejected_total"),
        (Outcome.IGNORED, None),
        (Outcome.REVOKED, None),
        (Outcome.UNREPORTED, None),
    ],
)
def test_an_end_is_counted_by_status_and_by_its_own_counter(outcome: Outcome, counter: str | None) -> None:
    """An end is one of celery_tasks_total, and one of the counter that is named after it."""
    opened = recording()
    opened.tallies.task("proj.add", "trading").ended(outcome, 0.5, None)
    assert value(opened.registry, "celery_tasks_total", status=outcome.value) == 1
    assert sum(sample.value for sample in samples(opened.registry, "celery_tasks_total")) == 1
    others = {"succeeded", "failed", "retried", "rejected", "returned"}
    counted = {name for name in others if value(opened.registry, f"celery_task_{name}_total")}
    assert counted == ({counter.removeprefix("celery_task_").removesuffix("_total")} if counter else set())


def test_returned_is_no_status() -> None:
    """A request that is given back has a counter of its own, and is no end of a task."""
    opened = recording()
    opened.tallies.task("proj.add", "trading").ended(Outcome.RETURNED, None, None)
    assert value(opened.registry, "celery_task_returned_total") == 1
    assert sum(sample.value for sample in samples(opened.registry, "celery_tasks_total")) == 0


def test_levels_are_read_at_each_scrape() -> None:
    """A gauge tells the level of the moment, never one of before."""
    levels = FakeLevels(running=1)
    opened = recording(levels=levels)
    assert value(opened.registry, "celery_worker_tasks_active") == 1
    levels.running, levels.is_up, levels.is_draining, levels.is_connected = 7, False, True, False
    found = {
        name: value(opened.registry, f"celery_worker_{name}")
        for name in ("tasks_active", "up", "draining", "broker_connected", "tasks_reserved", "tasks_scheduled")
    }
    assert found == {
        "tasks_active": 7,
        "up": 0,
        "draining": 1,
        "broker_connected": 0,
        "tasks_reserved": 2,
        "tasks_scheduled": 3,
    }


def test_a_level_that_is_not_known_is_absent() -> None:
    """There is no last turn of a loop that has not turned."""
    assert (
        samples(recording(levels=FakeLevels(looped_at=None)).registry, "celery_worker_last_loop_timestamp_seconds")
        == []
    )


def test_the_oldest_of_several_names_is_others_age() -> None:
    """Names without books share the label other, and its oldest age counts."""
    opened = recording(levels=FakeLevels(ages={"proj.add": 1.0, "x": 5.0, "y": 9.0, "z": 2.0}))
    opened.tallies.task("proj.add", "trading")
    found = {
        s.labels["task_name"]: s.value for s in samples(opened.registry, "celery_worker_oldest_active_task_seconds")
    }
    assert found == {"proj.add": 1.0, "other": 9.0}


def test_a_task_that_runs_no_more_has_no_age() -> None:
    """A series of the last scrape is gone when there is nothing to tell of it."""
    levels = FakeLevels(ages={"proj.add": 1.0})
    opened = recording(levels=levels)
    opened.tallies.task("proj.add", "trading")
    assert value(opened.registry, "celery_worker_oldest_active_task_seconds", task_name="proj.add") == 1.0
    levels.ages = {}
    assert samples(opened.registry, "celery_worker_oldest_active_task_seconds") == []


def test_a_queue_is_listed_once() -> None:
    """Two queues whose labels are cut to the same value are one series."""
    opened = recording(Bounds(label_length=8), FakeLevels(names=["trading-1", "trading-2", "orders"]))
    found = [sample.labels["queue"] for sample in samples(opened.registry, "celery_worker_queue_info")]
    assert sorted(found) == ["orders", "trading-"]


def test_the_whole_exposition() -> None:
    """One task's life, exported: help, type, names, labels, values and their order."""
    text = scrape(one_life().registry)
    lines = [line for line in text.splitlines() if re.match(r"(# (HELP|TYPE) )?(otel_)?celery_", line)]
    assert "\n".join(lines) + "\n" == GOLDEN.read_text("utf-8")


def test_openmetrics_is_well_formed() -> None:
    """The strict parser of OpenMetrics reads every family."""
    parsed = {family.name for family in openmetrics_families(scrape(one_life().registry, generate_openmetrics))}
    assert {name.removesuffix("_total") for name in contract.WORKERS} <= parsed


def test_a_source_that_raises_costs_only_its_own_metric(caplog: pytest.LogCaptureFixture) -> None:
    """The scrape lacks one family; the error is logged once, and counted in the next."""
    opened = one_life(FailingLevels(ages={"proj.add": 12.5}))
    for _ in range(3):
        assert contract.WORKERS.keys() - families(opened.registry) == {"celery_worker_tasks_active"}
    assert value(opened.registry, "otel_celery_internal_errors_total", where="levels") in {3, 4}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "no such pool" in caplog.text


@pytest.mark.parametrize("encode", [generate_latest, generate_openmetrics], ids=["text", "openmetrics"])
@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
def test_no_label_value_harms_a_scrape(nasty: str, encode) -> None:
    """Whatever a publisher makes up, this scrape and the next are read back with the value that went in."""
    opened = recording(levels=FakeLevels(names=[nasty], described={**FakeLevels().described, "pool_kind": nasty}))
    book = opened.tallies.task(nasty, nasty)
    book.received(redelivered=False)
    book.started(0.5)
    book.ended(Outcome.FAILURE, 0.5, None)
    book.raised(nasty)
    seen = nasty.replace("\ud800", "?")
    for _ in range(2):
        assert scrape(opened.registry, encode)
        found = [sample for family in families(opened.registry).values() for sample in family.samples]
        assert {s.labels["task_name"] for s in found if "task_name" in s.labels} == {seen}
        failures = {"exception": seen, "queue": seen}.items()
        assert [
            s.value for s in found if s.name.startswith("celery_task_failures_by") and failures <= s.labels.items()
        ] == [1]
        assert [s.labels["pool_kind"] for s in found if s.name == "celery_worker_info"] == [seen]


def test_twenty_thousand_task_names_are_a_bounded_scrape(caplog: pytest.LogCaptureFixture) -> None:
    """The first 500 names are kept, the rest is other; it is counted, said once, and the SDK's limit is not reached."""
    opened = recording()
    for number in range(20_000):
        opened.tallies.task(f"proj.t{number}", "trading").received(redelivered=False)
    found = {s.labels["task_name"]: s.value for s in samples(opened.registry, "celery_task_received_total")}
    assert found == {**{f"proj.t{number}": 1.0 for number in range(500)}, "other": 19_500.0}
    assert value(opened.registry, "otel_celery_folded_total", what="task_name") == 19_500
    assert len(samples(opened.registry, "celery_tasks_total")) == 501 * 7
    assert "overflow" not in scrape(opened.registry)
    assert [record.getMessage() for record in caplog.records if record.name == "otel_celery"] == [
        (
            "otel-celery: too many different values of task_name: further ones are counted as 'other' "
            "(see the OTEL_PYTHON_CELERY_MAX_* settings)"
        )
    ]


@pytest.mark.parametrize("bounds", [Bounds(3, 40), Bounds(40, 3), Bounds(1, 1)], ids=str)
def test_the_sdks_own_limit_is_never_reached(bounds: Bounds) -> None:
    """With every bound used up there are as many points as may be, and none in otel_metric_overflow."""
    opened = recording(bounds)
    for name in range(bounds.task_names + 1):
        for queue in range(2 * 4 * bounds.task_names):
            book = opened.tallies.task(f"t{name}", f"q{queue}")
            for exception in range(bounds.exceptions + 5):
                book.raised(f"E{exception}")
    pairs = 5 * bounds.task_names + 1
    assert len(samples(opened.registry, "celery_task_received_total")) == pairs
    assert len(samples(opened.registry, "celery_task_failures_by_exception_total")) == pairs * (bounds.exceptions + 1)
    assert "overflow" not in scrape(opened.registry)


def test_many_queues_do_not_reach_the_sdks_own_limit() -> None:
    """A worker of many queues and few tasks lists each of its queues."""
    opened = recording(Bounds(task_names=1, exceptions=1), FakeLevels(names=[f"q{number}" for number in range(300)]))
    assert len(samples(opened.registry, "celery_worker_queue_info")) == 300
    assert "overflow" not in scrape(opened.registry)


def test_queues_that_are_only_consumed_take_no_place_and_are_folded_once() -> None:
    """A worker of six hundred queues lists five hundred and other, and the queue of a message has its name."""
    opened = recording(levels=FakeLevels(names=[f"q{number}" for number in range(600)]))
    for _ in range(3):
        found = [sample.labels["queue"] for sample in samples(opened.registry, "celery_worker_queue_info")]
    assert found == [*(f"q{number}" for number in range(500)), "other"]
    assert value(opened.registry, "otel_celery_folded_total", what="queue") == 100, "whoever scrapes folds nothing more"
    opened.tallies.task("proj.add", "q599").received(redelivered=False)
    assert value(opened.registry, "celery_task_received_total", task_name="proj.add", queue="q599") == 1


def test_zeros_give_way_on_the_port_and_no_series_falls() -> None:
    """Of more tasks than there are places the last by alphabet run: they have their names, and nothing is lost."""
    opened = recording(bounds=Bounds(task_names=50), levels=FakeLevels())
    names = [f"proj.t{number:03}" for number in range(70)]
    opened.tallies.expect((name, "trading") for name in names)
    before = {s.labels["task_name"]: s.value for s in samples(opened.registry, "celery_tasks_total")}
    assert before == dict.fromkeys(names[:50], 0.0)
    last: dict[str, float] = before
    for turn, name in enumerate([*names[65:], *names[65:], names[0]]):
        book = opened.tallies.task(name, "trading")
        book.received(redelivered=False)
        book.started(0.1)
        book.ended(Outcome.SUCCESS, 0.1, 0.1)
        found = {
            s.labels["task_name"]: s.value
            for s in samples(opened.registry, "celery_tasks_total")
            if s.labels["status"] == "success"
        }
        assert sum(found.values()) == turn + 1
        assert len(found) == 50
        assert all(found.get(known, 0.0) >= number for known, number in last.items()), "a counter fell"
        last = found
    assert {name for name, number in last.items() if number} == {names[0], *names[65:]}
    assert value(opened.registry, "otel_celery_folded_total", what="task_name") == 0
    counts = [s.value for s in samples(opened.registry, "celery_task_duration_seconds") if s.name.endswith("_count")]
    assert sorted(counts) == [1, 2, 2, 2, 2, 2], "zeros open no histogram"
    assert "overflow" not in scrape(opened.registry)


FORK = """
import os, sys
from tests.unit.record.fakes import FakeLevels, families, recording
opened = recording()
book = opened.tallies.task("proj.add", "trading")
book.received(redelivered=False)
book.started(0.5)
assert "celery_task_received_total" in families(opened.registry)
pid = os.fork()
if pid == 0:
    print(sorted(families(opened.registry)), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print("celery_task_received_total" in families(opened.registry))
"""


def test_a_forked_child_observes_nothing() -> None:
    """A pool child has inherited the books, and does not export them a second time."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["[]", "True"], done.stderr


def test_closed_books_are_not_observed() -> None:
    """Once the books are closed, whoever still reads finds nothing in them."""
    opened = recording()
    assert families(opened.registry)
    opened.tallies.is_closed = True
    assert families(opened.registry) == {}
