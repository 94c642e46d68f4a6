"""Whatever is encoded, and however often: the lines are prometheus_client's own, byte for byte."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import Exemplar, Metric, Sample

from otel_celery.serve.formats import Formats
from otel_celery.serve.lines import Lines

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from otel_celery.serve.lines import Encoder

ACCEPT = [
    "text/plain;version=0.0.4",
    "text/plain;version=1.0.0;escaping=allow-utf-8",
    "text/plain;version=1.0.0;escaping=values",
    "application/openmetrics-text;version=1.0.0",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
    "application/openmetrics-text;version=1.0.0;escaping=dots",
]

ODD = st.sampled_from(["", "a", 'a"b', "a\\", "a\nb", "# TYPE a b", "a b 1.0", "a\u2028b", "a\x1eb", "é", "}", 'x="y"'])
NUMBERS = st.one_of(
    st.integers(-10, 300),
    st.sampled_from([999_999, 1_000_000, -1_000_000, 2**63, 0.0, -0.0, True]),
    st.floats(),
)
NAMES = st.sampled_from(["shop_orders", "shop.orders", "a", "ünlaut"])
SUFFIXES = {
    "counter": ["_total", "_created"],
    "histogram": ["_bucket", "_count", "_sum", "_created"],
    "gauge": [""],
    "info": ["_info"],
    "unknown": [""],
}
MOMENTS = st.sampled_from([None, None, None, None, 12.5])


@st.composite
def families(draw: st.DrawFn) -> Metric:
    """Make a family of a few series."""
    name, kind = draw(NAMES), draw(st.sampled_from(sorted(SUFFIXES)))
    family = Metric(name, draw(ODD), kind)
    for _ in range(draw(st.integers(0, 4))):
        labels = draw(st.dictionaries(st.sampled_from(["a", "le", "worker", "a.b"]), ODD, max_size=3))
        suffix = draw(st.sampled_from(SUFFIXES[kind]))
        family.samples.append(Sample(f"{name}{suffix}", labels, draw(NUMBERS), draw(MOMENTS)))
    return family


@dataclass
class Source:
    """A registry of these families."""

    families: list[Metric]

    def collect(self) -> list[Metric]:
        """Give them."""
        return self.families


@dataclass
class Counted:
    """One of prometheus_client's encoders, which counts the samples that it is given."""

    encode: Encoder
    samples: list[str] = field(default_factory=list)

    def __call__(self, registry: Collector) -> bytes:
        """Encode."""
        self.samples += [sample.name for family in registry.collect() for sample in family.samples]
        return self.encode(registry)


def again(family: Metric, values: list[float | None]) -> Metric:
    """Give the series of a family other values; where there is None, the very same sample stays."""
    later = Metric(family.name, family.documentation, family.type, family.unit)
    later.samples = [
        sample if value is None else sample._replace(value=value)
        for sample, value in zip(family.samples, values, strict=False)
    ]
    return later


@given(
    accept=st.sampled_from(ACCEPT),
    first=st.lists(families(), max_size=3),
    second=st.lists(families(), max_size=2),
    values=st.lists(NUMBERS | st.none(), min_size=4, max_size=4),
)
def test_the_lines_are_prometheus_clients(
    accept: str, first: list[Metric], second: list[Metric], values: list[float | None]
) -> None:
    """The first time, with other values, with series that come and go, and when the first ones are back."""
    encode, _ = Formats.negotiated(accept)
    lines = Lines(encode)
    changed = [again(family, values) for family in first]
    for scraped in (first, changed, [*second, *changed], first):
        assert lines(Source(scraped)) == encode(Source(scraped))


def test_only_new_series_are_encoded_anew() -> None:
    """A scrape of the same series writes their values alone, and one more series costs its own family."""
    encode = Counted(Formats.negotiated("")[0])
    lines = Lines(encode)
    orders, stock = Metric("orders", "Orders.", "counter"), Metric("stock", "Stock.", "gauge")
    orders.samples = [Sample("orders_total", {"shop": "a"}, 1), Sample("orders_total", {"shop": "b"}, 2)]
    stock.samples = [Sample("stock", {}, 3.5)]
    lines(Source([orders, stock]))
    assert encode.samples == ["orders_total", "orders_total", "stock"]
    assert lines(Source([again(orders, [5, 6]), again(stock, [4.5])])).endswith(b"stock 4.5\n")
    assert encode.samples == ["orders_total", "orders_total", "stock"]
    stock.samples.append(Sample("stock", {"shop": "b"}, 1.0))
    lines(Source([orders, stock]))
    assert encode.samples == ["orders_total", "orders_total", "stock", "stock", "stock"]


def stocks(number: int) -> Source:
    """Give so many series of one family, none of whose values is kept by Python anyway."""
    stock = Metric("stock", "Stock.", "gauge")
    stock.samples = [Sample("stock", {"shop": f"{each}"}, 1_000.5 + each) for each in range(number)]
    return Source([stock])


def test_three_formats_asked_for_in_turn_are_remembered() -> None:
    """Prometheus 2, Prometheus 3 and somebody who takes plain text scrape one port."""
    formats, source = Formats(), stocks(2)
    encoders = {accept: Counted(formats.negotiated(accept)[0]) for accept in (ACCEPT[0], *ACCEPT[3:5])}
    for _ in range(3):
        for accept, encode in encoders.items():
            content_type = formats.negotiated(accept)[1]
            assert formats.remembering(content_type, encode)(source) == encode.encode(source)
    assert [encode.samples for encode in encoders.values()] == [["stock", "stock"]] * 3


def test_what_lines_begin_with_is_kept_once_for_all_formats() -> None:
    """A further format costs the memory of its values: less than half of the first one's."""
    formats, source = Formats(), stocks(1_000)
    sizes = []
    tracemalloc.start()
    try:
        for accept in ACCEPT[:1] + ACCEPT[3:4]:
            before = tracemalloc.get_traced_memory()[0]
            encode, content_type = formats.negotiated(accept)
            formats.remembering(content_type, encode)(source)
            sizes.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    first, second = sizes
    assert second < first / 2


def test_an_exemplar_is_written_each_time() -> None:
    """It is no part of what a line begins with."""
    encode, _ = Formats.negotiated("application/openmetrics-text;version=1.0.0")
    lines = Lines(encode)
    for trace in ("a", "b"):
        orders = Metric("orders", "Orders.", "counter")
        orders.samples = [Sample("orders_total", {}, 1, None, Exemplar({"trace_id": trace}, 0.5))]
        assert lines(Source([orders])) == encode(Source([orders]))
        assert f'trace_id="{trace}"'.encode() in lines(Source([orders]))


def test_what_is_gone_is_forgotten() -> None:
    """A family that a scrape does not have leaves nothing behind."""
    encode = Counted(Formats.negotiated("")[0])
    lines = Lines(encode)
    orders = Metric("orders", "Orders.", "counter")
    orders.samples = [Sample("orders_total", {}, 1)]
    for scraped in ([orders], [], [orders]):
        lines(Source(scraped))
    assert encode.samples == ["orders_total"] * 2
