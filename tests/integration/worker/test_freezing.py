"""OTEL_PYTHON_CELERY_GC_FREEZE: what it is said to do it does, and tasks, children and metrics are as before."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.harness import wait_until
from tests.integration.worker.ways import HOOK, OFF

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site

APP = "tests.integration.worker.proj_weight"
FREEZE = {"OTEL_PYTHON_CELERY_GC_FREEZE": "true"}
EXITS = "celery_worker_process_exits_total"


@pytest.mark.prefork
def test_children_are_frozen_also_those_that_follow(site: Site) -> None:
    """Recycled children too inherit frozen objects; results, the children's own metrics and ends are right."""
    arguments = ("--max-tasks-per-child", "2")
    worker = HOOK.start(site, "prefork", app=APP, environment=FREEZE, arguments=arguments).wait_ready()
    found = [site.client.send_task("weight.frozen").get(timeout=30) for _ in range(10)]
    assert min(objects for _, objects in found) > 20_000
    assert len({pid for pid, _ in found}) >= 5
    site.client.send_task("proj.fail")
    wait_until(lambda: worker.scrape().ends("proj.fail") == {"failure": 1}, "the failure is counted")
    wait_until(lambda: worker.scrape().value("weight_runs_total") == 10, "the tasks' own metric has arrived")
    scrape = worker.settled()
    assert scrape.ends("weight.frozen") == {"success": 10}
    assert scrape.balances()
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert worker.log.count("are frozen before its pool forks") == 1
    assert worker.stop() == 0


@pytest.mark.prefork
def test_by_default_nothing_stays_frozen(site: Site) -> None:
    """It is only while the pool forks: children have thawed it, and so has the main process before later forks."""
    frozen = site.directory / "frozen"
    environment = {"T_FROZEN": str(frozen)}
    arguments = ("--max-tasks-per-child", "1")
    worker = HOOK.start(site, "prefork", app=APP, environment=environment, arguments=arguments).wait_ready()
    found = [site.client.send_task("weight.frozen").get(timeout=30) for _ in range(3)]
    assert [objects for _, objects in found] == [0, 0, 0]
    assert len({pid for pid, _ in found}) == 3
    first, second, *later = map(int, frozen.read_text().split())
    assert min(first, second) > 20_000
    assert later
    assert set(later) == {0}
    assert "GC_FREEZE" not in worker.log
    assert worker.stop() == 0


@pytest.mark.prefork
def test_what_the_application_has_frozen_stays_so(site: Site) -> None:
    """Children inherit it frozen, and nothing is thawed in the main process, which recycled ones show."""
    arguments = ("--max-tasks-per-child", "1")
    worker = HOOK.start(
        site, "prefork", app=APP, environment={"T_FREEZES": "true"}, arguments=arguments, concurrency=1
    ).wait_ready()
    found = [site.client.send_task("weight.frozen").get(timeout=30) for _ in range(2)]
    assert min(objects for _, objects in found) > 20_000
    assert worker.stop() == 0


@pytest.mark.prefork
def test_a_child_that_grew_is_replaced(site: Site) -> None:
    """``--max-memory-per-child`` sees a frozen child's memory as any other's."""
    arguments = ("--max-memory-per-child", "150000")
    worker = HOOK.start(site, "prefork", app=APP, environment=FREEZE, arguments=arguments, concurrency=1).wait_ready()
    first, _ = site.client.send_task("weight.frozen").get(timeout=30)
    again, _ = site.client.send_task("weight.frozen").get(timeout=30)
    assert again == first
    site.client.send_task("weight.grow", kwargs={"megabytes": 200}).get(timeout=30)
    wait_until(lambda: worker.scrape().value(EXITS, reason="recycled") == 1, "the child was replaced")
    after, objects = site.client.send_task("weight.frozen").get(timeout=30)
    assert after != first
    assert objects > 20_000
    assert worker.stop() == 0


@pytest.mark.prefork
def test_spawned_children_have_nothing_to_share(site: Site) -> None:
    """With the start method spawn nothing is frozen, and the log says so once."""
    environment = {**FREEZE, "T_START_METHOD": "spawn"}
    worker = HOOK.start(site, "prefork", app=APP, environment=environment, concurrency=1).wait_ready()
    _, objects = site.client.send_task("weight.frozen").get(timeout=60)
    assert objects == 0
    assert worker.log.count("OTEL_PYTHON_CELERY_GC_FREEZE has no effect") == 1
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_pool_without_processes_is_not_frozen(site: Site, pool: str) -> None:
    """Nothing is frozen where nothing is forked, and the log says so once."""
    worker = HOOK.start(site, pool, app=APP, environment=FREEZE).wait_ready()
    assert site.client.send_task("weight.frozen").get(timeout=30)[1] == 0
    warnings = [line for line in worker.log.splitlines() if "OTEL_PYTHON_CELERY_GC_FREEZE" in line]
    assert Counter("WARNING" in line and "its pool forks no processes" in line for line in warnings) == {True: 1}
    assert worker.stop() == 0


@pytest.mark.prefork
def test_a_worker_that_is_not_watched_is_not_frozen(site: Site) -> None:
    """With metrics and spans off nothing is done, and the log says so."""
    worker = HOOK.start(site, "prefork", app=APP, environment={**OFF, **FREEZE}, concurrency=1)
    assert site.client.send_task("weight.frozen").get(timeout=30)[1] == 0
    assert "OTEL_PYTHON_CELERY_GC_FREEZE has no effect while metrics and spans are off" in worker.log
    assert worker.stop() == 0
