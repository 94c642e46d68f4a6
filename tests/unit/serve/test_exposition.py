"""The registry as text."""

from __future__ import annotations

import gzip
import weakref

import pytest
from prometheus_client import CollectorRegistry

from otel_celery.serve.exposition import MAX_FORMATS, Exposition, accepts_gzip
from otel_celery.serve.formats import Formats

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"


class Counting:
    """A collector that counts how often it is read, and lets a clock go on meanwhile."""

    def __init__(self) -> None:
        """Start at midnight."""
        self.reads = 0
        self.now = 0.0
        self.takes = 0.0

    def clock(self) -> float:
        """Tell the time."""
        return self.now

    def collect(self):
        """Be read."""
        self.reads += 1
        self.now += self.takes
        return []


@pytest.fixture
def source() -> Counting:
    """Make a source that has not been read."""
    return Counting()


@pytest.fixture
def exposition(source: Counting) -> Exposition:
    """Render the source by its own clock."""
    registry = CollectorRegistry()
    registry.register(source)
    source.reads = 0
    return Exposition(lambda: registry, source.clock)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        (PROMETHEUS_2, "application/openmetrics-text; version=1.0.0"),
        (PROMETHEUS_3, "application/openmetrics-text; version=1.0.0"),
        (PROTOBUF, "text/plain; version=0.0.4"),
        ("application/openmetrics-text;version=one", "text/plain; version=0.0.4"),
        ("text/plain;version=;;=,,;q", "text/plain; version=0.0.4"),
        ("text/plain;version", "text/plain; version=0.0.4"),
    ],
)
def test_negotiation(accept: str, expected: str) -> None:
    """Each Accept header gets the format that it asks for, and nonsense gets plain text."""
    assert Formats.negotiated(accept)[1].startswith(expected)


def test_rendering_is_kept_for_a_moment(source: Counting, exposition: Exposition) -> None:
    """Within 250 ms nobody causes a second rendering; after them somebody does."""
    exposition.rendering("")
    source.now = 0.249
    exposition.rendering("")
    assert source.reads == 1
    source.now = 0.25
    exposition.rendering("")
    assert source.reads == 2


def test_slow_rendering_is_kept_too(source: Counting, exposition: Exposition) -> None:
    """A rendering that takes longer than 250 ms is kept from its end on."""
    source.takes = 3.0
    exposition.rendering("")
    source.now += 0.2
    exposition.rendering("")
    assert source.reads == 1


def test_each_format_is_rendered_once(source: Counting, exposition: Exposition) -> None:
    """Two formats are two renderings, and each is kept."""
    for accept in ("", PROMETHEUS_2, "", PROMETHEUS_2):
        exposition.rendering(accept)
    assert source.reads == 2


def test_while_somebody_looks_all_share_one_collection(source: Counting, exposition: Exposition) -> None:
    """The page and each format are made of what was read once; a minute after the last look each is by itself again."""
    for now, reads in ((0.0, 1), (59.0, 2), (60.1, 4)):
        source.now = now
        if now == 0.0:
            page = exposition.look("text/html", lambda collection: repr([*collection.collect()]).encode())
            assert page.body == b"[]"
        for accept in ("", PROMETHEUS_2):
            exposition.rendering(accept)
        assert source.reads == reads


def test_the_page_is_kept_as_long_as_a_scrape(source: Counting, exposition: Exposition) -> None:
    """Who looks again within 250 ms sees the same, and a scrape meanwhile shares it."""
    pages = iter((b"first", b"second"))
    for now, body in ((0.0, b"first"), (0.2, b"first"), (0.3, b"second")):
        source.now = now
        assert exposition.look("text/html", lambda _: next(pages)).body == body
        exposition.rendering("")
    assert source.reads == 2


def test_what_cannot_be_rendered_is_not_kept_for_ever(source: Counting, exposition: Exposition) -> None:
    """After 250 ms the registry is read anew, also where the first rendering raised."""
    with pytest.raises(ZeroDivisionError):
        exposition.look("text/html", lambda _: bytes(1 // 0))
    exposition.rendering("")
    assert source.reads == 1
    source.now = 0.25
    exposition.rendering("")
    assert source.reads == 2


@pytest.mark.parametrize("looks", [True, False])
def test_what_is_stale_is_forgotten(source: Counting, exposition: Exposition, looks: bool) -> None:  # noqa: FBT001  a case
    """Between two scrapes nothing is kept in memory: neither what was collected nor what was rendered of it."""
    assert exposition.forget() is None
    kept = exposition.look("text/html", lambda _: b"") if looks else exposition.rendering("")
    rendered = weakref.ref(kept)
    del kept
    assert exposition.forget() == 0.25
    assert rendered() is not None
    source.now = 0.25
    assert exposition.forget() is None
    assert rendered() is None


def test_invented_versions_cost_a_bounded_number_of_renderings(source: Counting, exposition: Exposition) -> None:
    """A client that invents version numbers gets plain text once too many formats are kept."""
    for minor in range(50):
        last = exposition.rendering(f"application/openmetrics-text;version=1.{minor}.0")
    assert source.reads <= MAX_FORMATS + 1
    assert last.content_type.startswith("text/plain")


def test_gzip_is_made_once(exposition: Exposition) -> None:
    """All who ask for gzip get one object, and it holds the body."""
    rendering = exposition.rendering(PROMETHEUS_2)
    assert rendering.packed() is exposition.rendering(PROMETHEUS_2).packed()
    assert gzip.decompress(rendering.packed()) == rendering.body == b"# EOF\n"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=often", False),
        ("*", True),
        ("*, gzip;q=0", False),
        ("identity", False),
        (";;,;q=,", False),
    ],
)
def test_gzip_by_header(header: str, expected: bool) -> None:  # noqa: FBT001  a table's column
    """Gzip is sent to those who name it, or everything, without forbidding it."""
    assert accepts_gzip(header) is expected
