"""Four ways to switch the metrics on, and what is there when nothing does; each counts each task once on each pool."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_celery import catalogue
from tests.integration.worker import answers, proc
from tests.integration.worker.harness import ROOT, wait_until
from tests.integration.worker.ways import (
    ALL,
    BIN,
    EVERY,
    HOOK,
    INSTRUMENT,
    INSTRUMENT_ALONE,
    LINE,
    NONE,
    OFF,
    WAYS,
    Way,
    crossed,
    errors,
    opened,
    pools,
)
from tests.services import free_port

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Scrape, Worker

LOOK = ("tests.integration.worker.proj_seen",)
BREAK = ("tests.integration.worker.proj_broken",)
OFF_LINE = "otel-celery: metrics are off for worker w@localhost"
ADVICE = "; PROMETHEUS_ENABLED=true switches them on"


def play(site: Site, worker: Worker, *, succeed: int = 6, fail: int = 3) -> Scrape:
    """Send tasks, and wait until all have ended."""
    before = worker.scrape().value("celery_tasks_total")
    for _ in range(succeed):
        site.client.send_task("proj.succeed")
    for _ in range(fail):
        site.client.send_task("proj.fail")
    wanted = before + succeed + fail
    wait_until(lambda: worker.scrape().value("celery_tasks_total") >= wanted, f"{wanted} ends")
    return worker.settled()


def seen(path: Path) -> dict[str, Any]:
    """Read what the worker wrote down, once it has."""
    wait_until(path.exists, f"{path.name} is written")
    answer: dict[str, Any] = answers.read(path)
    return answer


def assert_exact(scrape: Scrape, *, succeed: int = 6, fail: int = 3) -> None:
    """Compare the books with the tasks that ran."""
    both = succeed + fail
    assert scrape.ends("proj.succeed") == {"success": succeed}
    assert scrape.ends("proj.fail") == {"failure": fail}
    assert scrape.value("celery_task_received_total") == both
    assert scrape.value("celery_task_started_total") == both
    assert scrape.value("celery_task_succeeded_total") == succeed
    assert scrape.value("celery_task_failed_total") == fail
    assert scrape.value("celery_task_duration_seconds_count") == both
    assert scrape.value("celery_task_runtime_seconds_count") == succeed
    assert scrape.value("celery_worker_up", worker="w@localhost") == 1
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert scrape.balances(), scrape.books()


LAUNCHED = [pair for way in (INSTRUMENT, ALL) for pair in crossed([way], pools("gevent", "eventlet"))]
"""A launcher patches these pools before Celery is imported."""


@pytest.mark.parametrize(("way", "pool"), [*crossed(WAYS, EVERY), *LAUNCHED])
def test_each_way_counts_each_task_once(site: Site, way: Way, pool: str) -> None:
    """Whichever way, or all at once, the counts are exact, the port opens once, and the worker ends as ever."""
    worker = way.start(site, pool).wait_ready()
    scrape = play(site, worker)
    assert_exact(scrape)
    assert worker.record()["finished succeed"] == 6
    assert scrape.labels("celery_worker_info", "pool_kind") == {pool}
    assert "flower" not in scrape.text
    assert scrape.text.count("\ntarget_info{") == 1
    assert worker.stop() == 0
    assert opened(worker) == 1
    assert errors(worker) == []


@pytest.mark.alone
@pytest.mark.parametrize("pool", pools("gevent", "eventlet"))
def test_instrumenting_python_m_celery_patches_green_pools_first(site: Site, pool: str) -> None:
    """The pre_instrument entry point also knows ``python -m celery``: tasks run at the same time, and it stops."""
    launcher = (str(BIN / "opentelemetry-instrument"), sys.executable, "-m", "celery")
    worker = INSTRUMENT.start(site, pool, launcher=launcher, concurrency=8).wait_ready()
    began = time.monotonic()
    for _ in range(8):
        site.client.send_task("proj.succeed", kwargs={"seconds": 1.0})
    wait_until(lambda: worker.record()["finished succeed"] == 8, "all have run")
    assert time.monotonic() - began < 4
    assert worker.settled().ends("proj.succeed") == {"success": 8}
    assert worker.stop() == 0


# -- off ------------------------------------------------------------------------------------------------------------


@pytest.mark.prefork
@pytest.mark.parametrize(
    ("way", "environment", "why"),
    crossed(
        [HOOK, LINE, INSTRUMENT_ALONE],
        [
            pytest.param({}, ADVICE, id="nothing"),
            pytest.param(
                {"PROMETHEUS_ENABLED": "true", "OTEL_SDK_DISABLED": "true"},
                ": OTEL_SDK_DISABLED=true switches everything off",
                id="sdk-disabled",
            ),
            pytest.param(
                {"OTEL_METRICS_EXPORTER": "prometheus", "PROMETHEUS_ENABLED": "false"},
                ": PROMETHEUS_ENABLED=false",
                id="prometheus-disabled",
            ),
            pytest.param({"OTEL_METRICS_EXPORTER": "none"}, ": OTEL_METRICS_EXPORTER=none", id="none"),
            pytest.param(
                {"OTEL_EXPORTER_PROMETHEUS_PORT": "9464"},
                ": OTEL_EXPORTER_PROMETHEUS_PORT is set, and switches nothing on; PROMETHEUS_ENABLED=true does",
                id="a-port-alone",
            ),
        ],
    ),
)
def test_what_is_not_switched_on_installs_nothing(
    site: Site, tmp_path: Path, way: Way, environment: dict[str, str], why: str
) -> None:
    """Where nothing is switched on, a worker differs from one without the library in one line, and no more.

    The line is a WARNING where a variable of ours has a value, and says why metrics are off.
    """
    bare = NONE.start(
        site, "prefork", name="bare", include=LOOK, environment={**OFF, "T_SEEN": str(tmp_path / "bare.json")}
    )
    worker = way.start(
        site,
        "prefork",
        include=LOOK,
        environment={**OFF, "T_SEEN": str(tmp_path / "w.json"), **environment},
    )
    found, expected = seen(tmp_path / "w.json"), seen(tmp_path / "bare.json")
    assert found == expected
    assert set(found["requests"]["proj.heard"]) & {"tests.integration.worker.proj.Hearing"}
    assert found["requests"]["proj.succeed"][0] == "celery.worker.request.Request"
    assert found["consumer"][0] == "celery.worker.consumer.consumer.Consumer"
    own = set(proc.descriptors(worker.process.pid))
    assert own.isdisjoint(proc.listeners(9464) | proc.listeners(worker.port))
    assert (worker.stop(), bare.stop()) == (0, 0)
    (line,) = [line for line in worker.log.splitlines() if "otel-celery" in line]
    alone = way is INSTRUMENT_ALONE  # the variable that keeps contrib's instrumentation out is one of ours
    assert line.endswith(OFF_LINE + why) or alone
    assert ("WARNING/" in line) is (alone or why != ADVICE)
    assert "otel-celery" not in bare.log
    assert errors(worker) == []


@pytest.mark.prefork
def test_all_ways_at_once_say_that_nothing_is_on_in_one_line(site: Site) -> None:
    """Three ways that are all off say so in one INFO line."""
    worker = ALL.start(site, "prefork", environment=OFF)
    wait_until(lambda: worker.log.endswith(" ready.\n"), "it has told all, and hears signals")
    assert worker.stop() == 0
    assert [line for line in worker.log.splitlines() if "otel-celery" in line] == [
        line for line in worker.log.splitlines() if line.endswith(OFF_LINE + ADVICE) and "INFO/" in line
    ]
    assert worker.log.count(OFF_LINE) == 1


@pytest.mark.prefork
def test_a_worker_that_is_on_looks_different(site: Site, tmp_path: Path) -> None:
    """The look at a worker sees what we install, or the tests of nothing installed would prove nothing."""
    HOOK.start(site, "prefork", include=LOOK, environment={"T_SEEN": str(tmp_path / "w.json")})
    found = seen(tmp_path / "w.json")
    assert any(name.startswith("otel_celery.") for name in found["requests"]["proj.succeed"])
    assert any(name.startswith("otel_celery.") for name in found["consumer"])
    assert "otel-celery-serve" in found["threads"]
    assert any("otel_celery" in step for step in found["steps"])
    assert any(name.startswith("otel_celery.") for name in found["controller"])
    assert not any(name.startswith("otel_celery.") for name in found["request of the app"])  # it is every worker's
    assert found["steps of the app"] == []
    assert found["provider"] == "_ProxyMeterProvider"  # the global is the application's to set


IMPORTING = """
import json, threading
from celery import signals

def state():
    names = [name for name in signals.__all__ if hasattr(getattr(signals, name), "receivers")]
    return {name: len(getattr(signals, name).receivers or ()) for name in names}

before = state()
import otel_celery
from otel_celery import instrument, worker
import otel_celery.auto
after = state()
import otel_celery.hook
hooked = state()
print(json.dumps([before, after, hooked, threading.active_count()]))
"""


def test_importing_the_hook_connects_two_handlers() -> None:
    """Importing connects no signal; the hook module connects one handler of worker_init, and one of beat_init."""
    run = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=True, cwd=ROOT)
    before, after, hooked, threads = json.loads(run.stdout)
    assert before == after
    assert hooked == {**before, **{name: before[name] + 1 for name in ("worker_init", "beat_init")}}
    assert threads == 1


# -- the handle -----------------------------------------------------------------------------------------------------

HANDLES = """
from celery import Celery, current_app
from otel_celery import Instrumentation, instrument

app, other = Celery("one"), Celery("two", set_as_current=False)
app.set_current()
handle = instrument(app)
assert isinstance(handle, Instrumentation)
assert instrument(app) is handle
assert instrument(current_app) is handle
assert instrument(other) is not handle
handle.uninstrument()
handle.uninstrument()
assert instrument(app) is not handle
"""


def test_a_second_call_returns_the_same_handle() -> None:
    """An app has one handle, by whatever name it is called, until it is uninstrumented."""
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", HANDLES], check=True, cwd=ROOT)


@pytest.mark.parametrize("pool", EVERY)
def test_uninstrumenting_a_running_worker(site: Site, tmp_path: Path, pool: str) -> None:
    """Later requests are Celery's own again, the port is closed, and the tasks go on; the worker ends as ever."""
    look, go = tmp_path / "w.json", tmp_path / "go"
    worker = LINE.start(
        site,
        pool,
        include=LOOK,
        environment={"T_SEEN": str(look), "T_GO": str(go)},
    ).wait_ready()
    assert_exact(play(site, worker))
    assert "otel-celery-serve" in seen(look)["threads"]
    go.touch()
    after = seen(Path(f"{look}.removed"))
    assert not any(
        name.startswith("otel_celery.") for names in after["requests of the tasks"].values() for name in names
    )
    assert not any(name.startswith("otel_celery.") for name in after["request of the app"])
    assert after["requests of the tasks"]["proj.heard"][0] == "tests.integration.worker.proj.Hearing"
    assert "otel-celery-serve" not in after["threads"]
    wait_until(lambda: not proc.listeners(worker.port), "the port is closed", 2)  # gevent's hub must turn first
    for name in ("succeed", "fail", "heard", "retry_once"):
        site.client.send_task(f"proj.{name}")
    wait_until(lambda: worker.record()["began retry_once"] == 2, "the tasks go on")
    wait_until(lambda: worker.record()["finished succeed"] == 7, "the tasks go on")
    assert worker.stop() == 0
    assert errors(worker) == []


# -- somebody else's provider -----------------------------------------------------------------------------------------


def exported(name: str) -> str:
    """Give the exported stem of one of our instruments' names."""
    return name.replace(".", "_")


def assert_both_see_the_same(scrape: Scrape, points: list[Any]) -> None:
    """Compare every point of ours that the application's reader saw with the port."""
    compared = 0
    for name, attributes, value, count in points:
        stem = exported(name)
        if not stem.startswith(("celery_", "otel_celery_")) or stem.startswith(("celery_worker_", "celery_task_last")):
            continue
        compared += 1
        if count is None:
            shown = "seconds" if name == catalogue.START.name else "total"
            assert scrape.value(f"{stem}_{shown}", **attributes) == value, (name, attributes)
        else:
            assert scrape.value(f"{stem}_seconds_count", **attributes) == count, (name, attributes)
    assert compared > 20
    assert catalogue.START.name in {name for name, *_ in points}


@pytest.mark.parametrize(("way", "pool"), [*crossed([LINE], EVERY), *crossed([INSTRUMENT], pools("prefork", "gevent"))])
def test_an_applications_provider_is_used(site: Site, tmp_path: Path, way: Way, pool: str) -> None:
    """Both readers show the same numbers, the global provider stays, and contrib's metric keeps its own name."""
    environment = {"T_SEEN": str(tmp_path / "w.json"), "T_GO": str(tmp_path / "go")}
    worker = LINE.start(
        site, pool, app="tests.integration.worker.proj_provider", launcher=way.launcher, environment=environment
    )
    scrape = play(site, worker.wait_ready())
    assert_exact(scrape)
    (tmp_path / "go").touch()
    found = seen(tmp_path / "w.json")
    assert found["ours"] is True
    assert_both_see_the_same(scrape, found["points"])
    names = {point[0] for point in found["points"]}
    assert ("flower.task.runtime.seconds" in names) == (way == INSTRUMENT)  # from children as well
    assert worker.stop() == 0
    assert opened(worker) == 1
    assert errors(worker) == []
    assert "Overriding of current MeterProvider" not in worker.log


@pytest.mark.prefork
def test_an_applications_own_prometheus_reader_is_no_obstacle(site: Site, tmp_path: Path) -> None:
    """An application that reads its provider for Prometheus, on no port of its own, has our port served as well."""
    environment = {"T_SEEN": str(tmp_path / "w"), "T_GO": str(tmp_path / "go"), "T_READER": "prometheus"}
    worker = LINE.start(site, "prefork", app="tests.integration.worker.proj_provider", environment=environment)
    assert_exact(play(site, worker.wait_ready()))
    assert worker.stop() == 0
    assert opened(worker) == 1
    assert errors(worker) == []


def distro(directory: Path) -> str:
    """Register the SDK's own configurator, as opentelemetry-distro does; give the PYTHONPATH that holds it."""
    info = directory / "distro" / "stand_in_distro-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stand-in-distro\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_configurator]\nconfigurator = opentelemetry.sdk._configuration:_OTelSDKConfigurator\n"
    )
    return f"{directory / 'distro'}:{ROOT}"


QUIET = {"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}


@pytest.mark.parametrize("pool", pools("prefork", "threads", "gevent", "eventlet"))
def test_a_distros_provider_is_used(site: Site, tmp_path: Path, pool: str) -> None:
    """With a distro that exports no metrics itself, opentelemetry-instrument's provider is read by our port."""
    environment = {**QUIET, "OTEL_METRICS_EXPORTER": "none", "PYTHONPATH": distro(tmp_path)}
    worker = INSTRUMENT.start(site, pool, environment=environment)
    scrape = play(site, worker.wait_ready())
    assert_exact(scrape)
    assert "flower_task_runtime_seconds_count" in scrape.text  # under its own name, from children as well
    assert worker.stop() == 0
    assert opened(worker) == 1
    assert errors(worker) == []


def assert_told_once_and_runs(site: Site, worker: Worker) -> None:
    """See that one ERROR line tells what to set, that it is not tried again, and that tasks run."""
    wait_until(lambda: errors(worker), "an ERROR line")
    site.client.send_task("proj.succeed")
    wait_until(lambda: worker.record()["finished succeed"] == 1, "tasks run")
    assert worker.settled().ends("proj.succeed") == {"success": 1}  # on the SDK's own port
    time.sleep(1.5)  # a second try would come after one second
    (line,) = errors(worker)
    assert "OTEL_METRICS_EXPORTER=none" in line
    assert opened(worker) == 0
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", pools("prefork", "threads"))
def test_a_port_that_the_sdk_serves_is_said_once(site: Site, tmp_path: Path, pool: str) -> None:
    """Where the application's SDK serves the port itself, one ERROR line tells to set OTEL_METRICS_EXPORTER=none."""
    port = free_port()
    environment = {
        **OFF,
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
        "T_SEEN": str(tmp_path / "w"),
        "T_GO": str(tmp_path / "go"),
        "T_READER": "auto",
    }
    worker = LINE.start(site, pool, app="tests.integration.worker.proj_provider", environment=environment)
    worker.port = port
    assert_told_once_and_runs(site, worker)


@pytest.mark.prefork
@pytest.mark.parametrize("strict", [False, True], ids=["other-port", "strict"])
def test_a_port_that_the_sdk_serves_elsewhere(site: Site, tmp_path: Path, strict: bool) -> None:  # noqa: FBT001  pytest's
    """A port that the SDK serves is no obstacle when ours is another; when it is ours, a strict worker ends."""
    ports = {"OTEL_EXPORTER_PROMETHEUS_PORT": str(free_port())}
    if strict:
        ports |= {"PROMETHEUS_PORT": ports["OTEL_EXPORTER_PROMETHEUS_PORT"], "OTEL_PYTHON_CELERY_STRICT": "true"}
    environment = {**ports, "T_SEEN": str(tmp_path / "w"), "T_GO": str(tmp_path / "go"), "T_READER": "auto"}
    worker = LINE.start(site, "prefork", app="tests.integration.worker.proj_provider", environment=environment)
    if strict:
        assert worker.process.wait(20) == 78
        (line,) = errors(worker)
        assert "OTEL_METRICS_EXPORTER=none" in line
        return
    assert_exact(play(site, worker.wait_ready()))
    assert worker.stop() == 0
    assert opened(worker) == 1
    assert errors(worker) == []


@pytest.mark.prefork
def test_a_port_that_a_distro_serves_is_said_once(site: Site, tmp_path: Path) -> None:
    """Where opentelemetry-instrument has a distro serve the port, one ERROR line tells what to set."""
    port = free_port()
    environment = {
        **OFF,
        **QUIET,
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
        "PYTHONPATH": distro(tmp_path),
    }
    worker = INSTRUMENT.start(site, "prefork", environment=environment)
    worker.port = port
    assert_told_once_and_runs(site, worker)


# -- errors of our own ------------------------------------------------------------------------------------------------

TALLY = "otel_celery.record.task:TaskTally"
NAMES = ("received", "started", "ended", "raised", "timed_out")


@pytest.mark.prefork
@pytest.mark.parametrize("child_metrics", ["true", "false"])
def test_an_odd_value_of_the_applications_fails_no_scrape(site: Site, child_metrics: str) -> None:
    """Neither where what tasks record is exported, nor where it is not."""
    environment = {"T_ODD": "1", "OTEL_PYTHON_CELERY_CHILD_METRICS": child_metrics}
    worker = LINE.start(
        site, "prefork", app="tests.integration.worker.proj_provider", environment=environment
    ).wait_ready()
    for _ in range(2):
        assert worker.scrape().value("celery_worker_up") == 1
    assert worker.stop() == 0


@pytest.mark.parametrize("pool", EVERY)
def test_f48_an_error_of_ours_never_changes_a_task(site: Site, pool: str) -> None:
    """With every report of a task raising, all tasks run and are acknowledged, and the errors are counted and told."""
    broken = ",".join(f"{TALLY}.{name}" for name in NAMES)
    worker = HOOK.start(
        site,
        pool,
        include=BREAK,
        environment={"T_BREAK": broken, "T_ACKS_LATE": "1"},
    ).wait_ready()
    results = [site.client.send_task("proj.succeed") for _ in range(5)]
    failing = site.client.send_task("proj.fail")
    retried = site.client.send_task("proj.retry_once")
    assert [result.get(timeout=20) for result in results] == ["done"] * 5
    assert isinstance(failing.get(timeout=20, propagate=False), ValueError)
    assert retried.get(timeout=20) == "second time"
    assert worker.record()["finished succeed"] == 5
    scrape = worker.settled()
    # Five that succeed, one that fails, one that is retried and then succeeds: received, started and ended eight times.
    assert scrape.value("otel_celery_internal_errors_total", where="request") == 3 * 8
    assert scrape.value("otel_celery_internal_errors_total") == 3 * 8
    assert worker.stop() == 0
    assert waiting(site) == (0, 0)
    assert worker.log.count("ZeroDivisionError: injected") == 1
    assert len(errors(worker)) == 1


PLACES = {
    "levels": "otel_celery.observe.levels:Levels.active",
    "consumer": "otel_celery.observe.watch:Watch.connected,otel_celery.observe.watch:Watch.ticked",
    "children": "otel_celery.observe.children:Children.look",
}


@pytest.mark.prefork
@pytest.mark.parametrize("where", PLACES)
def test_f48_an_error_elsewhere_costs_its_own_metric(site: Site, where: str) -> None:
    """An error in a level, the consumer or the look at the children is counted there, and nothing else suffers."""
    worker = HOOK.start(
        site,
        "prefork",
        include=BREAK,
        environment={"T_BREAK": PLACES[where]},
    )
    wait_until(lambda: opened(worker), "the port is open")
    for _ in range(5):
        site.client.send_task("proj.succeed")
    wait_until(lambda: worker.record()["finished succeed"] == 5, "all have run")
    wait_until(lambda: worker.scrape().ends("proj.succeed") == {"success": 5}, "all are counted")
    scrape = worker.scrape()
    assert scrape.value("otel_celery_internal_errors_total", where=where) > 0
    assert scrape.has("celery_worker_tasks_active") == (where != "levels")
    assert worker.stop() == 0
    assert len([line for line in errors(worker) if f"({where})" in line]) == 1
    assert worker.log.count("ZeroDivisionError: injected") == len(errors(worker))  # the children's in the consumer too


def waiting(site: Site) -> tuple[int, int]:
    """Count the messages in the queue, and those delivered but not acknowledged."""
    with site.client.connection_for_read() as connection:
        redis = connection.default_channel.client
        return redis.llen("celery"), redis.hlen("unacked")
