"""Every way a task can end is counted exactly once, on every pool, acks early and late, with and without results."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.integration.worker.conftest import database, open_site
from tests.integration.worker.harness import ENDS, Scrape, wait_until
from tests.integration.worker.rows import POOLS, ROWS, VERSION, Row

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker


class Case(NamedTuple):
    """How a worker is set up."""

    pool: str
    acks_late: bool
    backend: bool

    def __str__(self) -> str:
        acks, results = "late" if self.acks_late else "early", "results" if self.backend else "no-results"
        return f"{self.pool}-{acks}-{results}"


class Played(NamedTuple):
    """What came of it, once nothing moved any more."""

    case: Case
    scrape: Scrape
    record: Counter[str]
    log: str


CASES = [Case(*case) for case in itertools.product(POOLS, (False, True), (True, False))]
ALL = [
    # The group keeps one case's rows in one process: they are played once, on one worker.
    pytest.param(case, marks=[getattr(pytest.mark, case.pool), pytest.mark.xdist_group(str(case))], id=str(case))
    for case in CASES
]


@pytest.fixture(scope="module")
def plays() -> dict[Case, Played]:
    """Keep what was played for the rows to come."""
    return {}


@pytest.fixture(params=ALL)
def played(
    request: pytest.FixtureRequest,
    plays: dict[Case, Played],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Played:
    """Give what came of every row that the pool can do, on one worker; a row that failed is played again."""
    case: Case = request.param
    is_again = getattr(request.node, "execution_count", 1) > 1  # pytest-rerunfailures counts there
    if is_again or case not in plays:
        with open_site(database(redis_url, 1), database(redis_url, 2), tmp_path_factory.mktemp(case.pool)) as site:
            plays[case] = _play(case, site)
    return plays[case]


def _play(case: Case, site: Site) -> Played:
    rows = [row for row in ROWS if case.pool not in row.without]
    environment = {"T_ACKS_LATE": str(int(case.acks_late))}
    worker = site.start(pool=case.pool, concurrency=4, backend=case.backend, environment=environment).wait_ready()
    for row in rows:
        (row.send or (lambda site, _, task: site.client.send_task(task)))(site, worker, row.task)
    wanted = sum(sum(row.expected(backend=case.backend).values()) for row in rows)
    wait_until(lambda: worker.scrape().value("celery_tasks_total") >= wanted, f"{wanted} ends", 45)
    scrape = worker.settled()
    record = _written(worker, rows)
    worker.stop()
    return Played(case, scrape, record, worker.log)


def _written(worker: Worker, rows: list[Row]) -> Counter[str]:
    """Give the record once all is there: Celery before 5.7 runs a message that it has rejected for its ETA, later."""
    wanted = sum((Counter(row.written()) for row in rows), Counter())
    with contextlib.suppress(AssertionError):  # each row compares its own lines
        wait_until(lambda: worker.record() >= wanted, "the tasks have written down what they did", 10)
    return worker.record()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_way_to_end_is_counted_once(played: Played, row: Row) -> None:
    """A task's ends, starts and reasons are those that really happened, and no other."""
    if played.case.pool in row.without:
        pytest.skip(row.because)
    scrape, task = played.scrape, row.task
    expected = row.expected(backend=played.case.backend)
    started = row.started if expected == row.ends else sum(expected.values())
    assert scrape.ends(task) == expected
    assert scrape.value("celery_task_received_total", task_name=task) == sum(expected.values())
    assert scrape.value("celery_task_started_total", task_name=task) == started
    assert scrape.value("celery_task_duration_seconds_count", task_name=task) == started
    if row.exception and expected["failure"]:
        assert scrape.value("celery_task_failures_by_exception_total", task_name=task, exception=row.exception) == 1
    if row.reason:
        assert scrape.value("celery_task_revoked_total", task_name=task, reason=row.reason) == 1
    for limit in ("soft", "hard"):
        assert scrape.value("celery_task_timeouts_total", task_name=task, limit=limit) == (row.limit == limit)
    assert {line: played.record[line] for line in row.written()} == row.written()


def test_the_single_counters_agree_with_the_one_by_status(played: Played) -> None:
    """Each task's own counters say what celery_tasks_total says under the status of that name."""
    names = {"success": "succeeded", "failure": "failed", "retry": "retried", "rejected": "rejected"}
    for status, name in names.items():
        for task in played.scrape.labels("celery_tasks_total", "task_name"):
            by_status = played.scrape.value("celery_tasks_total", task_name=task, status=status)
            assert played.scrape.value(f"celery_task_{name}_total", task_name=task) == by_status


def test_the_books_balance(played: Played) -> None:
    """What was received has ended, and no error of our own was swallowed on the way."""
    assert played.scrape.balances(), played.scrape.books()
    assert played.scrape.value("otel_celery_internal_errors_total") == 0
    assert played.scrape.labels("celery_tasks_total", "status") == set(ENDS)
    assert "otel-celery: an error of its own" not in played.log


def test_runtimes_are_those_of_successes_alone(played: Played) -> None:
    """Celery measures the body of successes; a lost child's success has none."""
    lost = played.scrape.ends("proj.kill_after_success")["success"]
    runs = played.scrape.value("celery_task_runtime_seconds_count")
    assert runs == played.scrape.value("celery_task_succeeded_total") - lost


def test_promtool_finds_nothing_to_complain_of(played: Played, promtool: str) -> None:
    """Prometheus's own linter accepts the exposition of every pool."""
    done = subprocess.run(
        [promtool, "check", "metrics"], input=played.scrape.text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("pool", "task", "exception"),
    [
        pytest.param("prefork", "proj.no_memory", "MemoryError", marks=pytest.mark.prefork),
        pytest.param("solo", "proj.no_memory", "MemoryError", marks=pytest.mark.solo),
        pytest.param("threads", "proj.no_memory", "MemoryError", marks=pytest.mark.threads),
        pytest.param("gevent", "proj.no_memory", "MemoryError", marks=pytest.mark.gevent),
        pytest.param("eventlet", "proj.no_memory", "MemoryError", marks=pytest.mark.eventlet),
        pytest.param("solo", "proj.sys_exit", "WorkerLostError", marks=pytest.mark.solo),
        pytest.param("solo", "proj.interrupt", "WorkerLostError", marks=pytest.mark.solo),
    ],
)
def test_an_end_that_stops_the_worker_is_counted_before_it_goes(
    site: Site, pool: str, task: str, exception: str
) -> None:
    """What Celery raises in the main process stops the worker on some pools; the books have the end all the same."""
    site.client.send_task(task)
    worker = site.start(pool=pool, concurrency=1, switch=("-I", "otel_celery.hook,tests.integration.worker.last_words"))
    if pool not in {"prefork", "solo"} or (pool == "prefork" and VERSION < (5, 5)):  # the pool keeps it to itself
        wait_until(lambda: worker.wait_ready().scrape().ends(task), "the task ended")
        last = worker.settled()
    else:
        status = worker.process.wait(20)
        site.client.send_task(task)
        off = {"PROMETHEUS_ENABLED": "false"}
        bare = site.start(pool=pool, concurrency=1, switch=(), environment=off, name="bare")
        assert bare.process.wait(20) == status
        last = Scrape(worker.log_path.with_suffix(".last").read_text())
    assert last.ends(task) == {"failure": 1}
    assert last.value("celery_task_failures_by_exception_total", exception=exception) == 1
    assert last.balances(), last.books()


@pytest.mark.prefork
@pytest.mark.parametrize("acks_late", [False, True], ids=["early", "late"])
def test_a_cold_shutdown_takes_back_what_runs(site: Site, acks_late: bool) -> None:  # noqa: FBT001  pytest's
    """A run that a cold shutdown cancels is retried if its message was acknowledged, and else returned."""
    worker = site.start(
        concurrency=1,
        switch=("-I", "otel_celery.hook,tests.integration.worker.last_words"),
        environment={"T_ACKS_LATE": str(int(acks_late))},
    ).wait_ready()
    site.client.send_task("proj.endless")
    # A task of which the main process does not know yet that it began is not cancelled, but waited for.
    wait_until(lambda: worker.scrape().value("celery_worker_tasks_active") == 1, "the main process knows that it runs")
    worker.stop(signal.SIGQUIT)
    last = Scrape(worker.log_path.with_suffix(".last").read_text())
    assert last.balances(), last.books()
    if VERSION < (5, 6):  # its main process does not cancel: the child is lost
        assert last.ends("proj.endless")["success"] == 0
    else:
        assert last.ends("proj.endless") == ({} if acks_late else {"retry": 1})
        assert last.value("celery_task_returned_total") == acks_late
