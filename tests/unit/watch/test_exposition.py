"""Scrapes of one endpoint, read by what differs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from otel_celery.watch.exposition import Exposition, Series


def exposition() -> Exposition:
    """Read three names."""
    return Exposition(("a_total", "b_total", "level"), lambda series: (tuple(series.labels.values()),))


def rises(read: list[tuple[Series, float]]) -> dict[str, float]:
    """Name what has risen."""
    return {f"{series.name}{dict(series.labels)}": rise for series, rise in read}


def values(page: Exposition, name: str) -> list[tuple[dict[str, str], float | None]]:
    """Give the values of a name."""
    return [(dict(series.labels), series.value) for series in page[name]]


def test_what_has_risen_is_told_from_the_second_scrape_on() -> None:
    """Of the first nothing is known before."""
    page = exposition()
    assert page.read('a_total{x="1"} 5\n# HELP a_total 6\nother 7\n', 10) == []
    assert rises(page.read('a_total{x="1"} 7.5\nother 9\n', 10)) == {"a_total{'x': '1'}": 2.5}
    assert values(page, "a_total") == [({"x": "1"}, 7.5)]


def test_a_counter_that_fell_began_anew() -> None:
    """As PromQL's rate sees it."""
    page = exposition()
    page.read("a_total 5\n", 0)
    assert rises(page.read("a_total 2\n", 0)) == {"a_total{}": 2}


def test_a_process_that_was_started_anew_begins_all_its_counters() -> None:
    """One that has overtaken the old value, or stands where it stood, has risen from 0 all the same."""
    page = exposition()
    page.read('a_total 5\nb_total{x="1"} 3\nprocess_start_time_seconds 100\n', 0)
    second = page.read('a_total 6\nb_total{x="1"} 3\nprocess_start_time_seconds 200\n', 0)
    assert rises(second) == {"a_total{}": 6, "b_total{'x': '1'}": 3, "process_start_time_seconds{}": 200}
    assert page.starts == 1


def test_a_process_that_was_started_while_it_was_watched_counts_whole() -> None:
    """A worker that comes: its first scrape is all new."""
    page = exposition()
    assert rises(page.read("a_total 4\nprocess_start_time_seconds 150\n", 100))["a_total{}"] == 4


def test_a_series_that_is_born_has_risen_and_one_that_goes_has_no_value() -> None:
    """Whatever else changes in the same scrape."""
    page = exposition()
    page.read('level{x="1"} 1\na_total 1\nother 1\n', 0)
    assert rises(page.read('b_total{x="y"} 2\na_total 1\nother 2\n', 0)) == {"b_total{'x': 'y'}": 2}
    assert values(page, "level") == []
    page.read('level{x="1"} 0\n', 0)
    assert values(page, "level") == [({"x": "1"}, 0.0)]


def test_labels_are_read_as_they_were_meant_and_shown_plain() -> None:
    """Escapes, commas and braces belong to a value; what would move a terminal's cursor is escaped."""
    page = exposition()
    page.read('level{x="a\\"b\\\\,}{",y="\\u001b[2J\x1b\\n"} 1\n', 0)
    (labels, _) = values(page, "level")[0]
    assert labels == {"x": 'a"b\\,}{', "y": "u001b[2J\\x1b\\n"}


@pytest.mark.parametrize(
    "line",
    [
        "level",
        "level x",
        "level{ 1",
        "level NaN",
        "level +Inf",
        "level -Inf",
        "{} 1",
        'level{x="1" 2',
        "\x00",
        "level -1.1e15",
    ],
)
def test_a_line_that_is_none_costs_itself(line: str) -> None:
    """Its neighbours are read."""
    page = exposition()
    page.read(f"{line}\na_total 3\n", 0)
    assert (values(page, "level"), values(page, "a_total")) == ([], [({}, 3.0)])


NAMES = st.sampled_from(["a_total", "b_total", "level"])
LABELS = st.dictionaries(st.sampled_from(["x", "y"]), st.text(st.characters(min_codepoint=32, max_codepoint=126)))


@given(st.lists(st.dictionaries(st.tuples(NAMES, LABELS.map(lambda d: tuple(sorted(d.items())))), st.integers(0, 9))))
def test_it_reads_what_prometheus_client_reads(scrapes: list[dict]) -> None:
    """Whatever comes, goes and changes between scrapes: the values are those of a parser that reads every line."""
    page = exposition()
    for scrape in scrapes:
        text = "".join(f"{name}{_written(labels)} {value}\n" for (name, labels), value in scrape.items())
        page.read(text, 0)
        mine = {(n, *sorted(s.labels.items())): s.value for n in ("a_total", "b_total", "level") for s in page[n]}
        theirs = {
            (sample.name, *sorted((k, v[:200]) for k, v in sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert mine == theirs


def _written(labels: tuple) -> str:
    escaped = ((name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, value in labels)
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}" if labels else ""
