"""Single services of the stack, away from the others: with a password, with the Collector, and where nothing runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.stack import compose_services, composition
from tests.integration.stack.options import PLACEHOLDER, switched_on
from tests.integration.stack.servers import fetch, htpasswd

if TYPE_CHECKING:
    from pathlib import Path


def test_health_checks_fail_where_nothing_runs(tmp_path: Path) -> None:
    """Else they would say nothing."""
    empty = compose_services.Site(tmp_path)
    for name, service in composition.services().items():
        if service.check:
            assert empty.check(name).returncode != 0, name


def test_prometheus_asks_for_a_password_once_it_is_told_to(version: str) -> None:
    """As web-config.yml says: 401 without, 200 with, and it goes on scraping itself."""
    with compose_services.site() as site:
        web = site.copy / "web-config.yml"
        hashed = htpasswd("prometheus", "secret").partition(":")[2]
        web.write_text(switched_on(web.read_text(), "basic auth").replace(PLACEHOLDER, hashed))
        config = site.copy / "prometheus.yml"
        config.write_text(switched_on(config.read_text(), "basic auth"))
        (site.copy / "secrets" / "prometheus-password").write_text("secret\n")
        with site.prometheus(version, credentials="prometheus:secret") as prometheus:
            for path in ("/", "/metrics", "/api/v1/query?query=up", "/-/ready"):
                assert fetch(f"{prometheus.url}{path}")[0] == 401
                assert fetch(f"{prometheus.url}{path}", "prometheus:guess")[0] == 401
            assert prometheus.get("/api/v1/query", query="up")[0] == 200
            prometheus.wait_for('up{job="prometheus"} == 1', "Prometheus scrapes itself")
            assert site.check("prometheus").returncode == 0


def test_prometheus_scrapes_the_collector_once_it_is_told_to() -> None:
    """Itself, and what workers push to it; it writes nothing to a Prometheus that would take nothing."""
    with compose_services.site() as site:
        config = site.copy / "prometheus.yml"
        config.write_text(switched_on(config.read_text(), "the Collector"))
        with site.collector() as collector, site.prometheus() as prometheus:
            prometheus.wait_for('up{job="collector"} == 1 and on () up{job="otlp"} == 1', "both ports are scraped")
            assert prometheus.query("otelcol_process_uptime or otelcol_process_uptime_seconds_total")
            assert "prometheus_remote_write" not in collector.log
