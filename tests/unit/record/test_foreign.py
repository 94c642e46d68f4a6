"""What others record on the provider that we export cannot break the port."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import re
import subprocess
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families

from otel_celery.record import port_names as names
from otel_celery.record.producers import Producers
from otel_celery.record.pull import PullReader
from otel_celery.record.recording import Recording
from otel_celery.record.source import SourceReader
from otel_celery.relay import sdk
from otel_celery.settings.settings import Port, Settings
from tests.callbacks import ODD, giving
from tests.unit.record.calls import CALLS, play
from tests.unit.record.fakes import FakeLevels, only_foreign, recording, scrape, value


@pytest.fixture
def opened() -> Recording:
    """Open the books on a provider of our own."""
    return recording()


def test_what_is_clean_is_not_touched(opened: Recording) -> None:
    """Labels, values and empty labels stay as they are."""
    opened.provider.get_meter("m").create_counter("orders").add(2, {"a": "", "n": 1, "t": True})
    assert 'orders_total{a="",n="1",t="true"} 2.0' in scrape(opened.registry)


def test_a_lone_surrogate_fails_no_scrape(opened: Recording) -> None:
    """It is replaced, in labels and descriptions, in this scrape and each later one."""
    counter = opened.provider.get_meter("m").create_counter("orders", description="d\udce9")
    counter.add(1, {"a": "t\udce9", "b": ["\udce9"]})
    for _ in range(2):
        assert 'orders_total{a="t?",b="[\\"?\\"]"} 1.0' in scrape(opened.registry)


def test_series_that_are_the_same_once_cut_are_one(opened: Recording) -> None:
    """Two values that differ behind the cut are added up, or Prometheus would see a duplicate."""
    counter = opened.provider.get_meter("m").create_counter("orders")
    histogram = opened.provider.get_meter("m").create_histogram("weight")
    for end in "ab":
        counter.add(1, {"a": "x" * 200 + end})
        histogram.record(1, {"a": "x" * 200 + end})
    text = scrape(opened.registry)
    assert f'orders_total{{a="{"x" * 200}"}} 2.0' in text
    assert f'weight_count{{a="{"x" * 200}"}} 2.0' in text


def test_one_name_of_several_scopes_is_one_family(opened: Recording) -> None:
    """The port shows no scopes: equal labels are added, others stand beside them."""
    for scope, labels in (("one", {"a": "1"}), ("two", {"b": "2"}), ("three", {"a": "1"})):
        opened.provider.get_meter(scope).create_counter("orders").add(1, labels)
    text = scrape(opened.registry)
    assert text.count("# TYPE orders_total counter") == 1
    assert 'orders_total{a="1",b=""} 2.0' in text
    assert 'orders_total{a="",b="2"} 1.0' in text


@pytest.mark.parametrize(
    ("kind", "name", "unit"),
    [
        ("counter", "celery.tasks", ""),
        ("counter", "celery_tasks_total", ""),
        ("gauge", "celery.worker.up", ""),
        ("gauge", "celery.task.duration", "s"),
        ("gauge", "celery.task.duration.seconds.count", ""),
        ("gauge", "process.open.fds", ""),
        ("gauge", "target.info", ""),
        ("gauge", "taken.total", ""),
        ("histogram", "taken", ""),
    ],
)
def test_a_taken_name_is_left_out_and_said_once(
    opened: Recording, caplog: pytest.LogCaptureFixture, kind: str, name: str, unit: str
) -> None:
    """Neither ours nor whoever came first is shadowed."""
    opened.provider.get_meter("first").create_counter("taken").add(1)
    scrape(opened.registry)
    meter = opened.provider.get_meter("rude")
    if kind == "counter":
        meter.create_counter(name, unit).add(77)
    elif kind == "gauge":
        meter.create_gauge(name, unit).set(77)
    else:
        meter.create_histogram(name, unit).record(77)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            text = scrape(opened.registry)
    assert "77" not in [line.rpartition(" ")[2].partition(".")[0] for line in text.splitlines()]
    assert "taken_total 1.0" in text
    assert value(opened.registry, "otel_celery_relay_dropped_total", reason="name") == 1
    assert [record.getMessage() for record in caplog.records if repr(name) in record.getMessage()] != []
    assert len(caplog.records) == 1


def test_the_applications_own_readers_are_left_alone(opened: Recording) -> None:
    """What another reader of the provider sees is what was recorded."""
    other = InMemoryMetricReader()
    opened.provider.add_metric_reader(other)
    opened.provider.get_meter("m").create_counter("orders").add(1, {"a": "x" * 300})
    scrape(opened.registry)
    data = other.get_metrics_data()
    assert data is not None
    points = [p for s in data.resource_metrics[0].scope_metrics for m in s.metrics for p in m.data.data_points]
    assert {"a": "x" * 300} in [point.attributes for point in points]


def parsed(opened: Recording, promtool: str) -> tuple[str, str]:
    """Scrape in both formats, each accepted by its parser, the first by promtool as well."""
    text, strict = scrape(opened.registry), scrape(opened.registry, openmetrics.generate_latest)
    assert list(text_string_to_metric_families(text))
    assert list(strict_string_to_metric_families(strict))
    lines = text.rstrip("\n").split("\n")  # splitlines() would end one at a \x1e, or a \u2028, inside a label
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert sorted(set(series)) == sorted(series)
    checked = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    assert "error" not in checked.stderr.lower(), checked.stderr
    return text, strict


ALIKE = [
    ({"a": 1}, {"a": "1"}, 'a="1"'),
    ({"a": True}, {"a": "true"}, 'a="true"'),
    ({"a": 1.0}, {"a": "1.0"}, 'a="1.0"'),
    ({"a": "", "c": "d"}, {"c": "d"}, 'a="",c="d"'),
    ({"a.b": "x"}, {"a_b": "x"}, 'a_b="x"'),
    ({"a": ["x"]}, {"a": '["x"]'}, r'a="[\"x\"]"'),
    ({"a": None}, {"a": "null"}, 'a="null"'),
    ({"a": b"x"}, {"a": "\"b'x'\""}, 'a="\\"b\'x\'\\""'),
    ({"a": "x" * 200 + "1"}, {"a": "x" * 200 + "2"}, f'a="{"x" * 200}"'),
    ({"a": 10**5000}, {"a": hex(10**5000)[:200]}, f'a="{hex(10**5000)[:200]}"'),
    ({"a": math.nan}, {"a": float("nan")}, 'a="NaN"'),
    ({"9a": 1}, {"_a": 1}, '_a="1"'),
]


@pytest.mark.parametrize(("one", "other", "shown"), ALIKE, ids=itertools.count())
def test_label_sets_that_are_one_series_to_prometheus_are_added_up(opened, promtool, one, other, shown) -> None:
    """Counts, buckets, least and most; of a gauge the last value stays."""
    meter = opened.provider.get_meter("m")
    for labels in (one, other):
        meter.create_counter("orders").add(1, labels)
        meter.create_gauge("price").set(3, labels)
        meter.create_up_down_counter("stock").add(1, labels)
        meter.create_histogram("weight").record(1, labels)
    text, _ = parsed(opened, promtool)
    for line in ("orders_total{%s} 2.0", "price{%s} 3.0", "stock{%s} 2.0", "weight_count{%s} 2.0"):
        assert line % shown in text


def test_f82_a_label_called_le(opened, promtool) -> None:
    """The histogram's own keeps the name, and the user's is called as Prometheus would call it."""
    meter = opened.provider.get_meter("m")
    meter.create_histogram("weight", explicit_bucket_boundaries_advisory=[1.0]).record(2, {"le": "x"})
    meter.create_counter("orders").add(2, {"le": "x"})
    text, _ = parsed(opened, promtool)
    assert 'weight_bucket{exported_le="x",le="1.0"} 0.0' in text
    assert 'orders_total{le="x"} 2.0' in text


@pytest.mark.parametrize(
    "names",
    [
        ("zz", "zz_created"),
        ("zz_created", "zz"),
        ("zz", "zz_total"),
        ("zz.total", "zz_total_total"),
        ("zz", "zz_bucket", "zz_sum"),
        ("target", "target_info"),
        ("celery.tasks.created", "celery_task_duration_seconds_created"),
        ("process_cpu_seconds_created", "process_cpu_seconds"),
        ("zz-a", "zz.a", "zz/a"),
    ],
)
@pytest.mark.parametrize("kinds", list(itertools.permutations(("counter", "gauge", "histogram", "up_down_counter"), 2)))
def test_f82_names_that_collide_with_a_suffix_alone(opened, promtool, names, kinds) -> None:
    """Whoever comes first is shown, the others are counted, and both parsers take it."""
    for number, (name, kind) in enumerate(zip(names, itertools.cycle(kinds), strict=False)):
        instrument = getattr(opened.provider.get_meter(str(number)), f"create_{kind}")(name)
        (getattr(instrument, "add", None) or getattr(instrument, "set", None) or instrument.record)(1)
    parsed(opened, promtool)


@pytest.mark.parametrize(
    "bounds",
    [
        [],
        [1, 10],
        [np.float64(0.5), np.float64(2.5)],
        [False, True],
        [-1.0, 1.0],
        [-5.0],
        [0.0, 1.0],
        [1e6, 1e300],
        [2**53, 2**53 + 1],
        [5e-324, 1.0],
    ],
    ids=str,
)
def test_f82_unusual_bounds(opened, promtool, bounds) -> None:
    """Each observation is counted once, in a bucket that every parser knows."""
    weight = opened.provider.get_meter("m").create_histogram("weight", explicit_bucket_boundaries_advisory=bounds)
    for observed in (0, 0.5, 1, 2, 1e301):
        weight.record(observed, {"a": "b"})
        weight.record(observed)
    text, _ = parsed(opened, promtool)
    assert 'weight_bucket{a="",le="+Inf"} 5.0' in text
    assert 'weight_count{a="b"} 5.0' in text
    assert "np." not in text


@pytest.mark.parametrize(
    ("number", "lost"),
    [
        (math.nan, 0),
        (math.inf, 0),
        (-5, 1),
        (10**400, 0),
        (10**308, 3),
        (1e308, 0),
        (2**63, 0),
        (np.float64(0.5), 0),
        (np.float32(2), 0),
        (np.int64(2), 0),
        (Fraction(1, 2), 0),
        ("x", 0),
    ],
    ids=itertools.count(),
)
def test_a_value_costs_itself(opened, promtool, caplog, number, lost) -> None:
    """Whatever a value is, both parsers take the scrape, its neighbours are shown, and its loss is counted once."""
    meter = opened.provider.get_meter("m")
    for kind in ("counter", "up_down_counter", "gauge", "histogram"):
        instrument = getattr(meter, f"create_{kind}")(f"a_{kind}")
        record = getattr(instrument, "add", None) or getattr(instrument, "set", None) or instrument.record
        for _ in range(2):
            with contextlib.suppress(TypeError, OverflowError):
                record(number, {"a": "odd"})
        record(1, {"a": "even"})
    # The SDK itself ignores what is not finite, and two of the longest integers make one that no float can hold.
    observed = [Observation(1, {"a": "even"}), Observation(number, {"a": "odd"})]
    meter.create_observable_counter("observed", [lambda _: observed])
    for _ in range(2):
        text, _ = parsed(opened, promtool)
        for line in ("a_counter_total", "a_up_down_counter", "a_gauge", "a_histogram_count", "observed_total"):
            assert f'{line}{{a="even"}} 1.0' in text
    assert value_of(opened, "value") == lost
    assert len([record for record in caplog.records if "cannot be shown or sent" in record.getMessage()]) == lost


def test_f81_bytes_that_are_no_utf8(monkeypatch, promtool) -> None:
    """In the node's name, the service's, an attribute, a scope and a description: the port answers."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop\udcff")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=\udcff,\udcff=x")
    opened = Recording(Settings(Port()), "w\udcff@h", "proj\udcff")
    opened.register(FakeLevels())
    meter = opened.provider.get_meter("m\udcff", "1\udcff", "s\udcff", {"a\udcff": "\udcff"})
    meter.create_counter("orders", description="\udcff\n\r\0 \"'{}").add(1)
    text, _ = parsed(opened, promtool)
    assert 'service_name="shop?"' in text
    assert 'celery_worker_name="w?@h"' in text
    assert 'celery_worker_up{worker="w?@h"} 1.0' in text


def test_an_applications_resource_is_cleaned_too() -> None:
    """Its own provider may have been made from the same environment."""
    provider = MeterProvider(resource=Resource({"service.name": "\udcff", "n": 10**5000}), shutdown_on_exit=False)
    registry = CollectorRegistry()
    reader = SourceReader()
    PullReader(reader, registry, Producers(), only_foreign())
    provider.add_metric_reader(reader)
    provider.get_meter("m").create_counter("orders").add(1)
    assert 'service_name="?"' in scrape(registry)


def test_what_is_recorded_under_our_own_meters_name_is_a_guests(opened, promtool) -> None:
    """A name is no key: only the metrics of the catalogue are taken as they are."""
    opened.provider.get_meter("otel_celery").create_counter("orders").add(1, {"a": "\udcff"})
    assert 'orders_total{a="?"} 1.0' in parsed(opened, promtool)[0]


def test_known_names_are_not_refused_once_there_are_many(opened, monkeypatch, caplog) -> None:
    """A family that was shown once always is; a new one is refused, counted and said."""
    meter = opened.provider.get_meter("m")
    meter.create_counter("early").add(1)
    scrape(opened.registry)
    monkeypatch.setattr(names, "MAX_NAMES", 0)
    meter.create_counter("late").add(1)
    for _ in range(2):
        text = scrape(opened.registry)
        assert "early_total 1.0" in text
        assert "late_total" not in text
    assert value_of(opened, "limit") == 1
    assert [record.getMessage() for record in caplog.records if "too many names" in record.getMessage()] != []


def test_other_bounds_are_counted(opened, caplog) -> None:
    """Of two histograms that are one series the first one stays, and the other is counted once and named."""
    for scope, bounds in (("one", [1.0]), ("two", [2.0])):
        histogram = opened.provider.get_meter(scope).create_histogram(
            "weight", explicit_bucket_boundaries_advisory=bounds
        )
        histogram.record(1)
        histogram.record(1, {"scope": scope})
    for _ in range(2):
        text = scrape(opened.registry)
    assert text.count("weight_count") == 3
    assert value_of(opened, "mismatch") == 1
    assert len([record for record in caplog.records if "'weight' of the meter 'one'" in record.getMessage()]) == 1


def test_an_overflow_of_the_adder_fails_no_scrape(opened, promtool) -> None:
    """An integer that only just fits, beside a float: infinite, as floats are."""
    counter = opened.provider.get_meter("m").create_counter("orders")
    counter.add(1.7e308, {"a": 1})
    counter.add(1.7e308, {"a": "1"})
    assert 'orders_total{a="1"} +Inf' in parsed(opened, promtool)[0]


def value_of(opened: Recording, reason: str) -> float:
    """Read how many points were left out for a reason."""
    return value(opened.registry, "otel_celery_relay_dropped_total", reason=reason) or 0


@given(CALLS)
@example([("m", "counter", "zz", "s", None, [(1, {"a": "\x1e\x85\u2028\r"})])])
@example([("m", "histogram", "zz", "a:b", None, [(0, {}), (0, {"a": "b"})])])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_sequence_of_calls_leaves_a_port_that_all_parsers_take(promtool, calls) -> None:
    """And every other series is as it was, at each scrape."""
    opened = recording()
    sdk.collect_apart(opened.provider, lambda _: None)
    before = {
        line for line in scrape(opened.registry).splitlines() if line.startswith(("celery_worker_up", "celery_task"))
    }
    opened.provider.get_meter("plain").create_counter("plain").add(2, {"a": "b"})
    for scope, *call in calls:
        play(opened.provider.get_meter(scope), tuple(call))
    for _ in range(2):
        text, strict = parsed(opened, promtool)
        assert 'plain_total{a="b"} 2.0' in text
        assert before <= set(text.split("\n"))
        assert strict.endswith("# EOF\n")


@pytest.mark.parametrize("callback", ODD, ids=itertools.count())
@pytest.mark.parametrize("kind", ["counter", "up_down_counter", "gauge"])
def test_a_callback_costs_itself(opened, promtool, kind, callback) -> None:
    """Whatever it gives or raises, what another callback gave before it, and other instruments, are shown each time."""
    sdk.collect_apart(opened.provider, lambda _: None)
    meter = opened.provider.get_meter("m")
    good = giving([Observation(1, {"is": "good"})])
    getattr(meter, f"create_observable_{kind}")("odd", [good, callback])
    getattr(meter, f"create_observable_{kind}")("even", [good])
    suffix = "_total" if kind == "counter" else ""
    for _ in range(2):
        text, _ = parsed(opened, promtool)
        assert f'even{suffix}{{is="good"}} 1.0' in text
        assert re.search(rf'^odd{suffix}{{[^}}]*is="good"}} 1.0$', text, re.MULTILINE)
