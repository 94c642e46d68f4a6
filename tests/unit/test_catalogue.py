"""The catalogue against the contract: every metric once, each as it is promised."""

from __future__ import annotations

from collections import Counter

from otel_celery import catalogue
from otel_celery.catalogue import BUCKETS, METRICS, Kind, Metric
from otel_celery.record.reference import exported_name
from tests.unit.record import contract


def test_the_catalogue_holds_the_contract() -> None:
    """Exported names, kinds and labels are those of the contract, no more and no fewer."""
    found = {exported_name(m): contract.Family(m.kind.value, frozenset(m.attributes)) for m in METRICS}
    assert found == contract.CONTRACT


def test_the_documented_ones_are_marked() -> None:
    """What the operators' guide promises is marked as such, and stands first."""
    assert {exported_name(m) for m in METRICS if m.documented} == set(contract.DOCUMENTED)
    assert [m.documented for m in METRICS] == sorted((m.documented for m in METRICS), reverse=True)


def test_every_constant_is_listed_once() -> None:
    """No metric of the module is left out of the list, none stands in it twice."""
    constants = [each for each in vars(catalogue).values() if isinstance(each, Metric)]
    assert Counter(METRICS) == Counter(constants)
    assert len({m.name for m in METRICS}) == len(METRICS)


def test_no_gauge_has_the_unit_1() -> None:
    """Exporters treat a gauge of unit 1 in different ways."""
    assert [m.name for m in METRICS if m.kind is Kind.GAUGE and m.unit in {"1", ""}] == []


def test_histograms_are_in_seconds() -> None:
    """Durations are in seconds, and the default bounds are the contract's."""
    assert {m.unit for m in METRICS if m.kind is Kind.HISTOGRAM} == {"s"}
    assert BUCKETS == contract.BUCKETS
    assert all(isinstance(bound, float) for bound in BUCKETS)


def test_no_label_is_named_twice() -> None:
    """A metric's attributes are distinct."""
    assert [m.name for m in METRICS if len(set(m.attributes)) < len(m.attributes)] == []


def test_each_description_is_a_sentence() -> None:
    """Every metric says what it means, on one line."""
    assert [m.name for m in METRICS if not m.description.endswith(".") or "\n" in m.description] == []
