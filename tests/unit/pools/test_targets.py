"""What Prometheus's file-based discovery is given."""

from __future__ import annotations

import json
from pathlib import Path

from otel_celery.pools.plan import Pool
from otel_celery.pools.targets import file_sd
from otel_celery.settings.settings import TLS, Port

TRADING = Pool("trading", "app", 9101, ("trading",))
SLOW = Pool("slow-jobs", "app", 9102, ("slow-jobs",))


def test_each_pool_is_a_target_with_its_name() -> None:
    """In the file's order, each with a label of its own."""
    assert json.loads(file_sd([TRADING, SLOW], "web1", Port())) == [
        {"targets": ["web1:9101"], "labels": {"pool": "trading"}},
        {"targets": ["web1:9102"], "labels": {"pool": "slow-jobs"}},
    ]


def test_a_port_with_tls_is_asked_with_tls() -> None:
    """Prometheus takes the scheme from a label."""
    port = Port(tls=TLS(Path("cert.pem"), Path("key.pem")))
    assert json.loads(file_sd([TRADING], "web1", port))[0]["labels"] == {"pool": "trading", "__scheme__": "https"}


def test_an_ipv6_address_stands_in_brackets() -> None:
    """Else its last group would be the port."""
    assert json.loads(file_sd([TRADING], "fe80::1", Port()))[0]["targets"] == ["[fe80::1]:9101"]


def test_the_queues_exporter_has_a_job_of_its_own() -> None:
    """It is no worker: with the label `pool` it would be a sixth one, and with the workers' job one without tasks."""
    port = Port(tls=TLS(Path("cert.pem"), Path("key.pem")))
    assert json.loads(file_sd([TRADING], "web1", port, 9106))[1:] == [
        {"targets": ["web1:9106"], "labels": {"job": "celery-queues", "__scheme__": "https"}}
    ]
