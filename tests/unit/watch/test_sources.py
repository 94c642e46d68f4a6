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
from otel_celery.watch.endpoints import EndpointError, of_pool, of_url
from otel_celery.watch.sources import Files, Prometheus
from tests.services import free_port
from tests.unit.watch.ports import serving

if TYPE_CHECKING:
    from pathlib import Path

    from otel_celery.watch.endpoints import Endpoint
    from otel_celery.watch.sources import Source


def found(source: Source) -> list[tuple[str, str]]:
    """Ask a source for URLs and pools."""
    endpoints: list[Endpoint] = asyncio.run(source.find())
    return [(endpoint.url, endpoint.pool) for endpoint in endpoints]


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


@pytest.mark.parametrize("text", ["", "ftp://a:1", "a b:1", "a:99999", "http://:1", "a:1/\x1b", "http://u:secret@/"])
def test_what_is_neither_is_refused_without_its_secrets(text: str) -> None:
    """In one sentence."""
    with pytest.raises(EndpointError, match="is not an endpoint: it must be host:port or an http") as refused:
        of_url(text)
    assert "secret" not in str(refused.value)


def test_a_pool_is_asked_where_it_can_be_reached() -> None:
    """A port that listens everywhere is asked on the loopback; its name is the pool's."""
    endpoint = of_pool(Pool("trading", "app", 9101, ("q",)), Port("0.0.0.0"), is_tls=False)  # noqa: S104  only compared
    assert (endpoint.url, endpoint.pool) == ("http://127.0.0.1:9101/metrics", "trading")


def test_the_files_are_those_that_prometheus_reads(tmp_path: Path) -> None:
    """What `otel-celery targets` writes, and YAML; the scheme and the path are labels there."""
    mine, theirs = tmp_path / "mine.json", tmp_path / "theirs.yml"
    mine.write_text(file_sd([Pool("trading", "app", 9101, ("q",))], "web1", Port(), 9106))
    theirs.write_text("- targets: ['web2:1', 'web3:2']\n  labels: {pool: p, __scheme__: https, __metrics_path__: /m}\n")
    assert found(Files([mine, theirs])) == [
        ("http://web1:9101/metrics", "trading"),
        ("http://web1:9106/metrics", ""),
        ("https://web2:1/m", "p"),
        ("https://web3:2/m", "p"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.json", "{", "is no list of targets, as file_sd_configs reads them: "),
        ("a.json", "[1]", "is no list of targets, as file_sd_configs reads them: "),
        ("a.yml", "- {", "is no list of targets, as file_sd_configs reads them: "),
        ("a.json", '[{"targets": ["a b"]}]', "'http://a b' is not an endpoint"),
        ("a.txt", "[]", "its name ends in '.txt', and not in .json, .yml, .yaml"),
        ("none.json", None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_none_says_so(tmp_path: Path, name: str, text: str | None, why: str) -> None:
    """With its name."""
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(EndpointError) as refused:
        found(Files([file]))
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


@pytest.mark.parametrize("page", ["", "[]", '{"data": {"activeTargets": [1]}}', '{"data": 5}'])
def test_what_is_no_prometheus_says_so(page: str) -> None:
    """Whatever it answers."""
    with serving(page) as port, pytest.raises(EndpointError, match="is no Prometheus: it tells no activeTargets"):
        found(Prometheus(port.address, Asker(Port(), Identity(), 5)))


def test_a_prometheus_that_is_away_says_so() -> None:
    """With the reason."""
    with pytest.raises(EndpointError, match="tells no targets: the connection is refused"):
        found(Prometheus(f"127.0.0.1:{free_port()}", Asker(Port(), Identity(), 5)))
