"""`otel-celery doctor` on real workers with trouble made on purpose: each is named, with what to do."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.pools.fleet import otel_celery
from tests.integration.worker.harness import wait_until
from tests.services import free_port

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site


def asked(*arguments: str) -> tuple[int, str]:
    """Call the doctor."""
    done = subprocess.run(
        otel_celery("doctor", "--interval", "0.5", *arguments), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.prefork
def test_each_trouble_is_named(site: Site) -> None:
    """A poison task, a full pool, a queue nobody consumes, a dead worker, a bare publisher, and a broker away."""
    slow = site.start(pool="solo", name="slow", arguments=("-Q", "slow"))
    app = "tests.integration.worker.proj_trouble"
    bad = site.start(pool="prefork", name="bad", app=app, concurrency=1, arguments=("-Q", "bad"))
    dead = free_port()
    slow.wait_ready()
    assert asked(f"localhost:{slow.port}", "-b", site.broker) == (
        0,
        "Nothing is wrong: 1 of 1 endpoint answered, and the broker.\n",
    )
    for _ in range(2):
        site.client.send_task("proj.succeed", kwargs={"seconds": 120}, queue="slow")
    site.client.send_task("proj.poison", queue="bad")
    site.client.send_task("proj.succeed", queue="nobody")
    bad.wait_ready()
    wait_until(lambda: bad.scrape().value("celery_task_redelivered_total") >= 3, "the poison has come back", 60)
    oldest = "celery_worker_oldest_active_task_seconds"
    wait_until(lambda: slow.scrape().value(oldest) >= 10, "the slow task has run for long")
    ports = [f"localhost:{port}" for port in (slow.port, bad.port, dead)]
    status, said = asked(*ports, "-b", site.broker, "-q", "nobody")
    assert status == 3
    assert f"CRITICAL: localhost:{dead}: the connection is refused; nothing listens there.\n" in said
    assert "CRITICAL: no worker that answers here consumes the queue nobody, which holds 1 message" in said
    assert "CRITICAL: proj.poison kills its process: " in said
    assert "WARNING: slow@localhost is full (1 of 1) with tasks of proj.succeed, the oldest for " in said
    assert "came without the time of publishing: the publisher does not load otel-celery" in said
    assert "-Q nobody" in said
    status, said = asked(*ports, "--json", "-b", f"redis://me:hidden@127.0.0.1:{free_port()}/0")
    found = json.loads(said)
    assert (status, found["version"], found["endpoints"]) == (3, 1, {"asked": 3, "answered": 2})
    assert {"BrokerAway", "CeleryWorkerDown", "PoisonMessage", "WorkerFull"} <= {
        each["name"] for each in found["findings"]
    }
    assert "hidden" not in said
