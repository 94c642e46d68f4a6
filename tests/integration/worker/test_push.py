"""Real workers that push: what arrives at a receiver is compared with what really happened."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.worker.harness import wait_until
from tests.integration.worker.pairs import LOOP, OTHER_COLD, end, side_by_side
from tests.integration.worker.pushed import assert_pushed, noise, play, pushing, said
from tests.integration.worker.ways import HOOK, INSTRUMENT, errors, pools

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.worker.conftest import Site
    from tests.otlp import Receiver

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize("pool", pools("prefork", "threads", "solo", "gevent", "eventlet"))
def test_the_last_values_arrive(site: Site, receiver: Receiver, pool: str) -> None:
    """A SIGTERM'd worker pushes once, after its pool has drained: every count exact, celery.worker.up 0."""
    worker = HOOK.start(site, pool, environment=pushing(receiver)).wait_ready()
    play(site, worker)
    assert receiver.attempts == 0, "the interval is not over"
    assert worker.stop() == 0
    assert_pushed(receiver)
    assert (receiver.latest("celery.worker.up"), receiver.attempts) == (0, 1)
    assert {point.attributes.get("worker", "w@localhost") for point in receiver.points()} == {"w@localhost"}
    assert (errors(worker), noise(worker)) == ([], [])
    assert said(worker, f"metrics of worker w@localhost are pushed to {receiver.url}/v1/metrics") == 1


@pytest.mark.prefork
def test_a_worker_of_one_task_pushes_it(site: Site, receiver: Receiver) -> None:
    """Whoever is shut down by remote control as soon as its only task has run, without a port, leaves its counts."""
    environment = pushing(receiver, PROMETHEUS_ENABLED="")
    worker = HOOK.start(site, "prefork", environment=environment)
    site.client.send_task("proj.succeed")
    wait_until(lambda: worker.record()["finished succeed"] == 1, "the task has run")
    wait_until(lambda: said(worker, "succeeded in"), "the worker knows")
    site.client.control.shutdown()
    wait_until(lambda: worker.process.poll() is not None, "the worker ends")
    assert receiver.latest("celery.tasks", status="success") == 1


@pytest.mark.prefork
def test_a_cold_shutdown_pushes_what_was_cancelled(site: Site, receiver: Receiver) -> None:
    """SIGQUIT sends no worker_shutdown; the running task's end is pushed all the same, and the books balance."""
    worker = HOOK.start(site, "prefork", environment=pushing(receiver)).wait_ready()
    play(site, worker, 3, 0)
    site.client.send_task("proj.endless")
    wait_until(lambda: worker.scrape().value("celery_worker_tasks_active") == 1, "it runs")
    assert worker.stop(signal.SIGQUIT) == 0
    assert receiver.latest("celery.task.received") == 4
    ended = receiver.latest("celery.tasks") + receiver.latest("celery.task.returned")
    left = sum(receiver.latest(f"celery.worker.tasks.{level}") for level in ("active", "reserved", "scheduled"))
    assert ended + left == 4
    assert receiver.attempts == 1


# -- a collector that fails ----------------------------------------------------------------------------------------


@pytest.mark.prefork
@pytest.mark.parametrize("trouble", ["absent", "refusing", "failing", "hanging"])
def test_f60_a_collector_that_fails_is_said_once_and_delays_nothing(
    site: Site, receiver: Receiver, trouble: str
) -> None:
    """Tasks run, exports are tried again, the log has one line, and the worker ends long before the exporter would."""
    environment = pushing(receiver, OTEL_METRIC_EXPORT_INTERVAL="100", OTEL_EXPORTER_OTLP_TIMEOUT="60000")
    environment["OTEL_METRIC_EXPORT_TIMEOUT"] = "60000"
    receiver.hangs = trouble == "hanging"
    receiver.status = {"refusing": 503, "failing": 500}.get(trouble, 200)
    if trouble in {"absent", "refusing"}:  # these it repeats by itself, for as long as it is given
        environment["OTEL_EXPORTER_OTLP_TIMEOUT"] = "500"
    if trouble == "absent":
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://localhost:1"
    worker = HOOK.start(site, "prefork", environment=environment).wait_ready()
    play(site, worker)
    if trouble != "hanging":
        wait_until(lambda: said(worker, "WARNING.*metrics cannot be pushed"), "it is said")
    if trouble in {"refusing", "failing"}:
        before = receiver.attempts
        wait_until(lambda: receiver.attempts > before + 5, "it is tried again and again")
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < 20
    assert worker.record()["finished succeed"] == 5
    assert said(worker, "metrics cannot be pushed") == (trouble != "hanging")
    assert (noise(worker), errors(worker)) == ([], [])


ENDS: dict[str, tuple[signal.Signals, dict[str, Any]]] = {
    "TERM": (signal.SIGTERM, {}),
    "QUIT": (signal.SIGQUIT, {}),
    **OTHER_COLD,
}


@pytest.mark.alone
@pytest.mark.prefork
@pytest.mark.parametrize(
    ("kind", "protocol"), [*((kind, "http/protobuf") for kind in ENDS), ("TERM", "grpc"), ("QUIT", "grpc")]
)
def test_f60_a_collector_that_hangs_holds_up_an_end_for_two_seconds(
    request: pytest.FixtureRequest, site: Site, kind: str, protocol: str
) -> None:
    """Metrics and spans together, however the worker ends: 2 s for its own, and 0.5 s for its children's."""
    how, options = ENDS[kind]
    receiver: Receiver = request.getfixturevalue("receiver" if protocol == "http/protobuf" else "grpc")
    receiver.hangs = True
    patient = dict.fromkeys(("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_METRIC_EXPORT_TIMEOUT"), "60000")
    environment = pushing(receiver, OTEL_TRACES_EXPORTER="otlp", **patient, **options.get("environment", {}))
    environment["OTEL_EXPORTER_OTLP_PROTOCOL"] = protocol
    task, seconds = ("succeed", 1.5) if kind == "TERM" else ("endless", 20.0)
    bare, worker = side_by_side(site, "prefork", task, seconds, **{**options, "environment": environment})
    expected, found = end([bare, worker], how)
    assert expected.status is not None, "even the bare worker hangs"
    assert found.status == expected.status
    assert found.seconds < expected.seconds + 2.5 + (0.5 if kind == "TERM" else LOOP)
    assert said(worker, "WARNING.*the last metrics were not taken by .* in time, and may be lost") == 1
    assert receiver.attempts > 0
    assert bare.record() == worker.record()


@pytest.mark.prefork
def test_f60_a_collector_that_comes_back_has_lost_nothing(site: Site, receiver: Receiver) -> None:
    """After a failure the next export has every count, and the log says that it works again."""
    receiver.status = 500
    environment = pushing(receiver, OTEL_METRIC_EXPORT_INTERVAL="100")
    worker = HOOK.start(site, "prefork", environment=environment).wait_ready()
    play(site, worker)
    wait_until(lambda: said(worker, "WARNING.*metrics cannot be pushed.*500"), "it is said, with the reason")
    receiver.status = 200
    wait_until(lambda: said(worker, "INFO.*metrics are pushed to .* again"), "it is said")
    assert_pushed(receiver)
    assert worker.stop() == 0
    assert said(worker, "metrics cannot be pushed") == 1


# -- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.prefork
def test_deltas_add_up(site: Site, receiver: Receiver) -> None:
    """With temporality delta each task is pushed once, in counters and in histograms; the port stays cumulative."""
    environment = pushing(
        receiver, OTEL_METRIC_EXPORT_INTERVAL="100", OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="Delta"
    )
    worker = HOOK.start(site, "prefork", environment=environment).wait_ready()
    for _ in range(3):
        play(site, worker, 4, 1)
    scrape = worker.scrape()
    assert worker.stop() == 0
    assert receiver.total("celery.task.received") == 15 == scrape.value("celery_task_received_total")
    assert receiver.total("celery.tasks", status="failure") == 3
    assert receiver.total("celery.task.duration") == 15 == scrape.value("celery_task_duration_seconds_count")
    assert receiver.total("celery.task.runtime") == 12
    assert scrape.value("celery_tasks_total", status="success") == 12
    assert sum(1 for point in receiver.points("celery.task.runtime") if point.value) > 1, "in more than one part"
    seconds = scrape.value("process_cpu_seconds_total")
    assert seconds <= receiver.total("process_cpu_seconds") < seconds + 5


@pytest.mark.prefork
def test_exponential_buckets_and_exemplars_beside_the_port(site: Site, receiver: Receiver) -> None:
    """Over OTLP histograms are exponential and name the message's trace; the port answers with explicit buckets."""
    environment = pushing(
        receiver,
        OTEL_METRIC_EXPORT_INTERVAL="50",
        OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="base2_exponential_bucket_histogram",
    )
    worker = HOOK.start(site, "prefork", environment=environment).wait_ready()
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    for _ in range(10):
        site.client.send_task("proj.succeed", headers=headers)
    scrape = worker.settled()
    assert scrape.value("celery_task_runtime_seconds_count") == 10
    assert len(scrape.labels("celery_task_runtime_seconds_bucket", "le")) == 16
    wait_until(lambda: receiver.latest("celery.task.runtime") == 10, "all are pushed")
    assert worker.stop() == 0
    points = receiver.points("celery.task.runtime")
    assert {point.kind for point in points} == {"exponential_histogram"}
    for name in ("celery.task.runtime", "celery.task.duration", "celery.task.prefetch.wait"):
        exemplars = [exemplar for point in receiver.points(name) for exemplar in point.data.exemplars]
        assert {exemplar.trace_id.hex() for exemplar in exemplars} == {TRACE}
        assert {exemplar.span_id.hex() for exemplar in exemplars} == {"00f067aa0ba902b7"}


@pytest.mark.prefork
def test_what_is_pushed_has_the_names_of_the_port(site: Site, receiver: Receiver) -> None:
    """Name, unit, labels and value of every series are those that the port shows; the resource is its target_info."""
    environment = pushing(receiver, OTEL_METRIC_EXPORT_INTERVAL="100")
    worker = HOOK.start(site, "prefork", environment=environment).wait_ready()
    play(site, worker)
    scrape = worker.scrape()
    receiver.clear()
    wait_until(lambda: receiver.points("celery.tasks"), "it is pushed")
    pushed = {(exported(p.name, p.unit, p.kind), frozenset(p.attributes.items())) for p in receiver.points()}
    shown = {
        (sample.name.removesuffix("_count"), frozenset(sample.labels.items()))
        for sample in scrape.samples
        if sample.name.startswith(("celery_", "otel_celery_", "process_"))
        and not sample.name.endswith(("_bucket", "_sum"))
    }
    assert pushed == shown
    (point, *_) = receiver.points("celery.tasks")
    (target,) = (sample for sample in scrape.samples if sample.name == "target_info")
    assert target.labels == {name.replace(".", "_"): str(value) for name, value in point.resource.items()}
    assert target.labels["celery_worker_name"] == "w@localhost"
    assert worker.stop() == 0


def exported(name: str, unit: str, kind: str) -> str:
    """Name a metric as Prometheus does."""
    suffix = "_seconds" if unit == "s" else ""
    return name.replace(".", "_") + suffix + ("_total" if kind == "sum" else "")


# -- other exporters -----------------------------------------------------------------------------------------------


@pytest.mark.prefork
def test_grpc_arrives_too(site: Site, grpc: Receiver) -> None:
    """The other protocol, compressed."""
    environment = pushing(
        grpc,
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_EXPORTER_OTLP_HEADERS="k=v",
    )
    worker = HOOK.start(site, "prefork", environment=environment).wait_ready()
    play(site, worker)
    assert worker.stop() == 0
    assert_pushed(grpc)
    assert grpc.requests[0].headers["k"] == "v"


@pytest.mark.threads
def test_the_console_gets_them(site: Site) -> None:
    """OTEL_METRICS_EXPORTER=console writes JSON on stdout."""
    environment = {"OTEL_METRICS_EXPORTER": "console", "OTEL_METRIC_EXPORT_INTERVAL": "600000"}
    worker = HOOK.start(site, "threads", environment=environment).wait_ready()
    play(site, worker)
    assert worker.stop() == 0
    assert said(worker, '"name": "celery.task.duration"') == 1


CARRIER = """
import os
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

class Carrier(MetricExporter):
    def export(self, metrics_data, timeout_millis=10_000, **kwargs):
        with open(os.environ["T_CARRIED"], "a") as file:
            file.write(f"{os.getpid()} {metrics_data.to_json(indent=None)}\\n")
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis=10_000):
        return True

    def shutdown(self, timeout_millis=30_000, **kwargs):
        with open(os.environ["T_CARRIED"], "a") as file:
            file.write("home\\n")
"""


@pytest.mark.prefork
def test_an_exporter_of_another_package_works_by_name(site: Site, tmp_path: Path) -> None:
    """What is registered under the standard group is found, gets everything once, and is shut down."""
    package = tmp_path / "carrier-1.0.dist-info"
    package.mkdir()
    package.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
    package.joinpath("entry_points.txt").write_text("[opentelemetry_metrics_exporter]\npigeon = carrier:Carrier\n")
    tmp_path.joinpath("carrier.py").write_text(CARRIER)
    carried = tmp_path / "carried"
    environment = {
        "OTEL_METRICS_EXPORTER": "pigeon",
        "OTEL_METRIC_EXPORT_INTERVAL": "600000",
        "T_CARRIED": str(carried),
        "PYTHONPATH": f"{tmp_path}:.",
    }
    worker = HOOK.start(site, "prefork", environment=environment).wait_ready()
    play(site, worker)
    assert worker.stop() == 0
    exported, home = carried.read_text().splitlines()
    assert (exported.split()[0], home) == (str(worker.process.pid), "home")
    assert '"celery.task.duration"' in exported


@pytest.mark.prefork
def test_an_exporter_that_is_missing_is_one_sentence(site: Site) -> None:
    """The rest works: the port is open, tasks run."""
    worker = HOOK.start(site, "prefork", environment={"OTEL_METRICS_EXPORTER": "pigeon,prometheus"}).wait_ready()
    play(site, worker)
    assert worker.stop() == 0
    (error,) = errors(worker)
    assert error == (
        "OTEL_METRICS_EXPORTER names 'pigeon', which no installed package registers under the "
        "entry point group opentelemetry_metrics_exporter"
    )


@pytest.mark.prefork
def test_under_the_launcher_everything_is_pushed_once(site: Site, receiver: Receiver) -> None:
    """Without a distro opentelemetry-instrument sets no provider: ours pushes."""
    worker = INSTRUMENT.start(site, "prefork", environment=pushing(receiver)).wait_ready()
    play(site, worker)
    assert worker.stop() == 0
    assert_pushed(receiver)
    assert receiver.attempts == 1


@pytest.mark.prefork
def test_a_provider_that_pushes_by_itself_pushes_alone(site: Site, receiver: Receiver, tmp_path: Path) -> None:
    """Where the application's provider has an exporter ours is not added, and the last values leave by its own."""
    environment = pushing(receiver, T_READER="otlp", T_GO=str(tmp_path / "go"), T_SEEN=str(tmp_path / "seen"))
    worker = HOOK.start(
        site, "prefork", app="tests.integration.worker.proj_provider", environment=environment
    ).wait_ready()
    play(site, worker)
    assert worker.stop() == 0
    assert receiver.points("celery.task.received")
    assert_pushed(receiver)
    assert said(worker, "pushes the metrics of worker w@localhost by itself") == 1
    assert said(worker, "are pushed to") == 0


@pytest.mark.prefork
def test_a_provider_that_does_not_push_gets_our_exporter(site: Site, receiver: Receiver, tmp_path: Path) -> None:
    """An application's provider without an exporter of its own, and OTEL_METRICS_EXPORTER=otlp: that is ours to do."""
    environment = pushing(receiver, T_GO=str(tmp_path / "go"), T_SEEN=str(tmp_path / "seen"))
    worker = HOOK.start(
        site, "prefork", app="tests.integration.worker.proj_provider", environment=environment
    ).wait_ready()
    play(site, worker)
    assert worker.stop() == 0
    assert_pushed(receiver)
    assert receiver.attempts == 1


# -- forks ---------------------------------------------------------------------------------------------------------


@pytest.mark.prefork
@pytest.mark.alone
@pytest.mark.timeout(240)
@pytest.mark.parametrize("protocol", ["http/protobuf"])
def test_f37_a_hundred_forks_while_pushing_every_moment(site: Site, receiver: Receiver, protocol: str) -> None:
    """A child for each of 100 tasks, and an export every 50 ms: nothing hangs, and no child exports anything."""
    environment = pushing(receiver, OTEL_METRIC_EXPORT_INTERVAL="50", OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    arguments = ("--max-tasks-per-child", "1")
    worker = HOOK.start(site, "prefork", concurrency=8, environment=environment, arguments=arguments).wait_ready()
    for _ in range(100):
        site.client.send_task("proj.succeed")
    wait_until(lambda: worker.record()["finished succeed"] == 100, "all have run", 150)
    worker.settled()
    assert worker.stop() == 0
    assert receiver.latest("celery.tasks") == receiver.latest("celery.task.duration") == 100
    assert {point.resource["process.pid"] for point in receiver.points()} == {worker.process.pid}
    assert receiver.attempts > 20
    assert "a fork waited" not in worker.log.lower()
    assert (noise(worker), errors(worker)) == ([], [])
