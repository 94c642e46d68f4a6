"""Where endpoints come from."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from otel_celery.pools.client import Identity
from otel_celery.pools.plan import Pool
from otel_celery.pools.targets import file_sd
from otel_celery.settings.settings import Port
from otel_celery.watch.asking import Asker
from otel_celery.watch.endpoints import EndpointError, of_pool, of_url, united
from otel_celery.watch.sources import File, Prometheus
from tests.services import free_port
from tests.unit.watch.ports import serving

if TYPE_CHECKING:
    from pathlib import Path

    from otel_celery.watch.sources import Source


def found(source: Source) -> list[tuple[str, str]]:
    """Ask a source for URLs and pools."""
    return [(endpoint.url, endpoint.pool) for endpoint in asyncio.run(source.find()).endpoints]


def fault(source: Source) -> str:
    """Ask a source what it names that is no endpoint."""
    return asyncio.run(source.find()).fault


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("web1:9101", "http://web1:9101/metrics"),
        ("http://web1", "http://web1:80/metrics"),
        ("https://web1/x?y=z", "https://web1:443/x?y=z"),
        ("[::1]:9101", "http://[::1]:9101/metrics"),
    ],
)
def test_a_url_or_an_address_is_an_endpoint(text: str, url: str) -> None:
    """What it does not say is what a worker's port has."""
    assert of_url(text).url == url


@pytest.mark.parametrize(
    "text", ["", "ftp://a:1", "a b:1", "a:99999", "http://:1", "a:1/\x1b", "http://u:secret@/", "\ud800:secret@a:1"]
)
def test_what_is_neither_is_refused_without_its_secrets(text: str) -> None:
    """In one sentence."""
    with pytest.raises(EndpointError, match="is not an endpoint: it must be host:port or an http") as refused:
        of_url(text)
    assert "secret" not in str(refused.value)


def test_a_pool_is_asked_where_it_can_be_reached() -> None:
    """A port that listens everywhere is asked on the loopback; its name is the pool's."""
    endpoint = of_pool(Pool("trading", "app", 9101, ("q",)), Port("0.0.0.0"), is_tls=False)  # noqa: S104  only compared
    assert (endpoint.url, endpoint.pool) == ("http://127.0.0.1:9101/metrics", "trading")


@pytest.mark.parametrize(
    ("texts", "urls"),
    [
        (("localhost:1", "127.0.0.1:1", "[::1]:1", "http://LOCALHOST:1/metrics"), ["http://localhost:1/metrics"]),
        (("127.0.0.1:1", "http://127.0.0.1:1/"), ["http://127.0.0.1:1/metrics"]),
        (("[2001:DB8::1]:1", "[2001:db8:0::1]:1"), ["http://[2001:db8::1]:1/metrics"]),
        (("Web1:1", "web1:1"), ["http://web1:1/metrics"]),
        (
            ("localhost:1", "localhost:2", "127.0.0.2:1", "https://localhost:1", "localhost:1/m"),
            [
                *("http://localhost:1/metrics", "http://localhost:2/metrics", "http://127.0.0.2:1/metrics"),
                *("https://localhost:1/metrics", "http://localhost:1/m"),
            ],
        ),
    ],
)
def test_one_endpoint_is_one_however_it_is_spelt(texts: tuple[str, ...], urls: list[str]) -> None:
    """Where its spellings differ it is asked by the name that stands for each of its addresses."""
    assert list(united(of_url(text) for text in texts)) == urls


def test_what_either_says_of_an_endpoint_is_kept() -> None:
    """A file knows the pool and that it is no worker, a URL the password."""
    told = [of_url("http://me:pw@localhost:1"), of_url("127.0.0.1:1", "queues", job="celery-queues")]
    (only,) = united(told).values()
    assert (only.login, only.pool, only.is_worker) == (b"me:pw", "queues", False)


def test_the_files_are_those_that_prometheus_reads(tmp_path: Path) -> None:
    """What `otel-celery targets` writes, and YAML; the scheme and the path are labels there."""
    mine, theirs = tmp_path / "mine.json", tmp_path / "theirs.yml"
    mine.write_text(file_sd([Pool("trading", "app", 9101, ("q",))], "web1", Port(), 9106))
    theirs.write_text("- targets: ['web2:1', 'web3:2']\n  labels: {pool: p, __scheme__: https, __metrics_path__: /m}\n")
    assert found(File(mine)) == [("http://web1:9101/metrics", "trading"), ("http://web1:9106/metrics", "")]
    assert found(File(theirs)) == [("https://web2:1/m", "p"), ("https://web3:2/m", "p")]


def test_a_target_that_is_no_endpoint_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    """They are told; it is named, or the first of several is."""
    file = tmp_path / "a.json"
    file.write_text('[{"targets": ["web1:1", "a b", "web2:2"]}, {"targets": ["web3:3"]}]')
    assert [url for url, _ in found(File(file))] == [f"http://web{n}:{n}/metrics" for n in (1, 2, 3)]
    assert fault(File(file)) == f"{file}: 'http://a b' is not an endpoint: it must be host:port or an http(s) URL"
    file.write_text('[{"targets": ["me\\ud800:pw@web1:1", "web2:2"]}]')
    assert [url for url, _ in found(File(file))] == ["http://web2:2/metrics"]
    file.write_text('[{"targets": ["web1:1", "a b", 5.5, "web1:0"]}]')
    assert fault(File(file)).endswith("it must be host:port or an http(s) URL (2 of its 4 targets are none)")


HOSTILE = ("a\u001b[2J\nb", "a\\x1b[2J b"), ("\ud800", "\\ud800"), (["x"], "['x']")


@pytest.mark.parametrize(("pool", "shown"), HOSTILE)
def test_the_name_of_a_pool_is_made_plain(tmp_path: Path, pool: object, shown: str) -> None:
    """It goes to a terminal: it moves no cursor, ends no line, and has a letter for each encoding."""
    file = tmp_path / "a.json"
    labels = {"pool": pool, "job": "celery"}
    file.write_text(json.dumps([{"targets": ["web1:1"], "labels": labels}]))
    assert found(File(file)) == [("http://web1:1/metrics", shown)]
    told = {"data": {"activeTargets": [{"scrapeUrl": "http://web1:1/metrics", "labels": labels}]}}
    with serving(json.dumps(told)) as port:
        prometheus = Prometheus(f"http://{port.address}/", Asker(Port(), Identity(), 5))
        assert found(prometheus) == [("http://web1:1/metrics", shown)]


def test_a_file_may_have_nobody_yet(tmp_path: Path) -> None:
    """As Prometheus takes it: it names nobody, and is no fault."""
    file = tmp_path / "a.yml"
    for text in ("", "# nobody yet\n", "[]", "- targets:\n"):
        file.write_text(text)
        assert (found(File(file)), fault(File(file))) == ([], "")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.json", "{", "is no list of targets, as file_sd_configs reads them: "),
        ("a.json", "[1]", "as file_sd_configs reads them: a group of it has no targets: 1"),
        ("a.json", '{"targets": []}', "as file_sd_configs reads them: it is no list: {'targets': []}"),
        ("a.json", '[{"targets": ["web1:1"], "labels": [2]}]', "its labels are no mapping: [2]"),
        ("a.yml", "- {", "is no list of targets, as file_sd_configs reads them: "),
        ("a.yml", '!!int ""', "is no list of targets, as file_sd_configs reads them: "),
        ("a.json", '[{"targets": "web1:1"}]', "its targets are no list: 'web1:1'"),
        ("a.json", "[" * 100_000, "as file_sd_configs reads them: its brackets are nested too deeply"),
        ("a.yml", "[" * 1_000, "as file_sd_configs reads them: its brackets are nested too deeply"),
        ("a.txt", "[]", "its name ends in '.txt', and not in .json, .yml, .yaml"),
        ("none.json", None, "cannot be read: No such file or directory"),
    ],
    ids=["json", "number", "group", "labels", "yaml", "yaml-int", "text", "deep", "deep-yaml", "suffix", "none"],
)
def test_a_file_that_is_none_says_so(tmp_path: Path, name: str, text: str | None, why: str) -> None:
    """With its name."""
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(EndpointError) as refused:
        found(File(file))
    assert str(file) in str(refused.value)
    assert why in str(refused.value)


TARGETS = [
    {"scrapeUrl": "http://web1:9101/metrics", "labels": {"job": "celery", "pool": "trading"}, "health": "up"},
    {"scrapeUrl": "https://web1:9106/metrics", "labels": {"job": "celery-queues"}, "health": "down"},
    {"scrapeUrl": "http://redis:9121/metrics", "labels": {"job": "redis"}, "health": "up"},
]


def test_a_prometheus_tells_its_targets() -> None:
    """Those of our jobs, whether it reaches them or not."""
    with serving(json.dumps({"status": "success", "data": {"activeTargets": TARGETS}})) as port:
        prometheus = Prometheus(f"http://{port.address}/", Asker(Port(), Identity(), 5))
        assert found(prometheus) == [("http://web1:9101/metrics", "trading"), ("https://web1:9106/metrics", "")]
        assert port.asked == [("/api/v1/targets?state=active", None)]


def test_a_target_of_a_prometheus_that_is_no_endpoint_costs_its_neighbours_nothing() -> None:
    """It names where it stands."""
    odd = [{"scrapeUrl": url, "labels": {"job": "celery", "pool": None}} for url in ("ftp://web1:1", "")]
    with serving(json.dumps({"data": {"activeTargets": [odd[0], *TARGETS, odd[1]]}})) as port:
        prometheus = Prometheus(port.address, Asker(Port(), Identity(), 5))
        assert [url for url, _ in found(prometheus)] == ["http://web1:9101/metrics", "https://web1:9106/metrics"]
        assert fault(prometheus) == (
            f"Prometheus at {port.address}: 'ftp://web1:1' is not an endpoint: it must be host:port or an http(s) URL "
            "(2 of its 4 targets are none)"
        )


@pytest.mark.parametrize(
    "page", ["", "[]", '{"data": {"activeTargets": [1]}}', '{"data": 5}', "[" * 100_000], ids=range(5)
)
def test_what_is_no_prometheus_says_so(page: str) -> None:
    """Whatever it answers."""
    why = "its brackets are nested too deeply" if page.startswith("[[") else "it tells no activeTargets"
    with serving(page) as port, pytest.raises(EndpointError, match=f"is no Prometheus: {why}$"):
        found(Prometheus(port.address, Asker(Port(), Identity(), 5)))


def test_a_prometheus_that_is_away_says_so() -> None:
    """With the reason."""
    with pytest.raises(EndpointError, match="tells no targets: the connection is refused"):
        found(Prometheus(f"127.0.0.1:{free_port()}", Asker(Port(), Identity(), 5)))
