"""What the environment switches on, and what is said of a value that is not allowed."""

from __future__ import annotations

import os
import urllib.request
from itertools import product
from typing import TYPE_CHECKING

import pytest

from otel_celery.settings.settings import ENDS, EX_CONFIG
from tests.integration.worker import proc
from tests.integration.worker.harness import Scrape, wait_until
from tests.integration.worker.ways import HOOK, INSTRUMENT_ALONE, LINE, OFF, Way, crossed, errors, opened, pools
from tests.services import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

STANDARD = {"OTEL_METRICS_EXPORTER": "prometheus"}
OURS = "OTEL_PYTHON_CELERY_"


def run_one(site: Site, worker: Worker) -> None:
    """See that the worker runs tasks."""
    site.client.send_task("proj.succeed")
    wait_until(lambda: worker.record()["finished succeed"] == 1, "the task has run")


@pytest.mark.prefork
@pytest.mark.parametrize(
    ("way", "environment"),
    crossed(
        [HOOK, LINE, INSTRUMENT_ALONE],
        [
            pytest.param({"PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": "%d"}, id="documented"),
            pytest.param({"PROMETHEUS_ENABLED": " TRUE ", "OTEL_EXPORTER_PROMETHEUS_PORT": "%d"}, id="both"),
            pytest.param({**STANDARD, "OTEL_EXPORTER_PROMETHEUS_PORT": "%d"}, id="standard"),
            pytest.param(
                {**STANDARD, "OTEL_EXPORTER_PROMETHEUS_PORT": "1", "PROMETHEUS_PORT": "%d"}, id="documented-port-wins"
            ),
            pytest.param(
                {"OTEL_METRICS_EXPORTER": "none", "PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": "%d"},
                id="enabled-beats-none",
            ),
        ],
    ),
)
def test_each_spelling_serves_the_port(site: Site, way: Way, environment: dict[str, str]) -> None:
    """The documented variables and OpenTelemetry's own open the port that they name, on localhost."""
    port = free_port()
    full = {**OFF, **{name: value.replace("%d", str(port)) for name, value in environment.items()}}
    worker = way.start(site, "prefork", environment=full)
    worker.port = port
    worker.wait_ready()
    run_one(site, worker)
    assert worker.settled().ends("proj.succeed") == {"success": 1}
    assert worker.stop() == 0
    assert opened(worker) == 1
    assert errors(worker) == []


@pytest.mark.prefork
def test_the_default_port_is_the_specifications(site: Site) -> None:
    """Enabled without a port, the metrics are on 9464."""
    if proc.listeners(9464):
        pytest.skip("port 9464 is taken on this machine")
    worker = HOOK.start(site, "prefork", environment={"PROMETHEUS_PORT": ""})
    worker.port = 9464
    worker.wait_ready()
    assert worker.scrape().value("celery_worker_up") == 1
    assert worker.stop() == 0
    assert opened(worker) == 1


@pytest.mark.prefork
@pytest.mark.parametrize(
    ("host", "urls"),
    [
        ("localhost", ("127.0.0.1", "[::1]")),
        ("127.0.0.1", ("127.0.0.1",)),
        ("::1", ("[::1]",)),
        ("0.0.0.0", ("127.0.0.2",)),  # noqa: S104  that is what is asked for
    ],
)
def test_the_host_is_where_it_listens(site: Site, host: str, urls: tuple[str, ...]) -> None:
    """OTEL_EXPORTER_PROMETHEUS_HOST chooses the address; localhost is both loopbacks."""
    worker = HOOK.start(site, "prefork", environment={"OTEL_EXPORTER_PROMETHEUS_HOST": host})
    wait_until(lambda: opened(worker), "the port is open")
    assert len(proc.listeners(worker.port)) == len(urls)
    for url in urls:
        with urllib.request.urlopen(f"http://{url}:{worker.port}/metrics", timeout=5) as answer:
            assert Scrape(answer.read().decode()).has("celery_worker_up")
    assert worker.stop() == 0


@pytest.mark.solo
@pytest.mark.parametrize(
    ("variable", "value"), [(f"{OURS}CREDENTIALS_FILE", "/no/such/file"), (f"{OURS}BUCKETS", "1,a,3")]
)
def test_a_bad_value_is_said_and_metrics_stay_off(site: Site, variable: str, value: str) -> None:
    """One ERROR line names variable and value; the worker runs on without metrics, or ends if it is strict.

    The unit tests have a bad value of each variable.
    """
    strict = HOOK.start(site, "solo", name="strict", environment={variable: value, f"{OURS}STRICT": "true"})
    worker = HOOK.start(site, "solo", environment={variable: value})
    run_one(site, worker)
    assert strict.process.wait(20) == EX_CONFIG
    assert set(proc.descriptors(worker.process.pid)).isdisjoint(proc.sockets(worker.port))
    assert worker.stop() == 0
    (line,) = errors(worker)
    assert errors(strict) == [line.replace("; metrics and spans are off", ENDS)]
    assert line.startswith(f"{variable}={value!r} is not allowed")
    assert "metrics and spans are off" in line
    assert "Traceback" not in worker.log + strict.log


@pytest.mark.solo
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "a..b"),  # IDNA refuses it, with an exception of its own
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "\udcff"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http:/user:hunter2hunter2@collector:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2hunter2%0Ax"),
        (f"{OURS}BUCKETS", "9" * 100_000),
        (f"{OURS}CREDENTIALS_FILE", "{fifo}"),
    ],
)
def test_any_bad_value_is_a_short_sentence_and_strict_ends_with_78(
    site: Site, tmp_path: Path, variable: str, value: str
) -> None:
    """On one line of at most 300 characters, without the secret, and without a traceback."""
    os.mkfifo(tmp_path / "fifo")
    environment = {variable: value.format(fifo=tmp_path / "fifo"), "OTEL_METRICS_EXPORTER": "otlp,prometheus"}
    strict = HOOK.start(site, "solo", environment={**environment, f"{OURS}STRICT": "true"})
    assert strict.process.wait(20) == EX_CONFIG
    (line,) = errors(strict)
    assert line.startswith(f"{variable}=")
    assert line.endswith(ENDS)
    assert len(f"otel-celery: ERROR: {line}") <= 300
    assert "hunter2" not in strict.log
    assert "Traceback" not in strict.log


@pytest.mark.solo
@pytest.mark.parametrize("switch", [{}, {"OTEL_TRACES_EXPORTER": "otlp"}], ids=["port", "traces"])
def test_a_propagator_that_is_not_installed_ends_a_strict_worker(site: Site, switch: dict[str, str]) -> None:
    """OpenTelemetry raises as it is imported, with words that do not name the variable; ours do, and first."""
    environment = {"OTEL_PROPAGATORS": "tracecontext,nonsense", f"{OURS}STRICT": "true", **switch}
    strict = HOOK.start(site, "solo", environment=environment)
    assert strict.process.wait(20) == EX_CONFIG
    (line,) = errors(strict)
    assert line.startswith("OTEL_PROPAGATORS='tracecontext,nonsense' is not allowed: it must be ")
    assert line.endswith(ENDS)
    assert "Traceback" not in strict.log


BROKEN = """
class Raising:
    def __init__(self, *_, **__):
        raise RuntimeError("it cannot be made")

class Own(BaseException):
    def __repr__(self):
        raise Own

class Odd:
    def __init__(self, *_, **__):
        raise Own

class Looking:
    raise_on_error = False

    def detect(self):
        raise Own
"""

GROUPS = ("meter_provider", "tracer_provider", "propagator", "context", "id_generator", "resource_detector")


def broken(directory: Path) -> str:
    """Register what cannot be imported, what ends the process then, and what cannot be made; give the PYTHONPATH."""
    info = directory / "broken-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    names = "absent = broken_absent:It\nexits = broken_exits:It\nraises = broken:Raising\nodd = broken:Odd\n"
    names += "looks = broken:Looking\n"
    groups = (*GROUPS, "metrics_exporter", "traces_exporter")
    info.joinpath("entry_points.txt").write_text("".join(f"[opentelemetry_{each}]\n{names}\n" for each in groups))
    directory.joinpath("broken.py").write_text(BROKEN)
    directory.joinpath("broken_absent.py").write_text("import not_there_at_all\n")
    directory.joinpath("broken_exits.py").write_text("raise SystemExit(3)\n")
    return f"{directory}:."


NAMING = (
    *("OTEL_PYTHON_METER_PROVIDER", "OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PROPAGATORS", "OTEL_PYTHON_CONTEXT"),
    *("OTEL_PYTHON_ID_GENERATOR", "OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER"),
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",
)


NOT_MADE = ("absent", "exits", "odd")
OF_TRACES = {"OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_ID_GENERATOR"}


@pytest.mark.solo
@pytest.mark.parametrize(
    ("variable", "name"),
    # A list of plugins and a single one are read by code of their own; which variable it is makes no difference there.
    [*product(NAMING, ["raises"]), *product(["OTEL_PYTHON_METER_PROVIDER", "OTEL_PROPAGATORS"], NOT_MADE)],
)
def test_a_plugin_that_does_not_work_ends_a_strict_worker(site: Site, tmp_path: Path, variable: str, name: str) -> None:
    """It is installed and named: one sentence says which variable names it, whatever it raises."""
    environment = {"PYTHONPATH": broken(tmp_path), f"{OURS}STRICT": "true"}
    if variable in OF_TRACES:
        environment["OTEL_TRACES_EXPORTER"] = "console"
    strict = HOOK.start(site, "solo", environment={**environment, variable: name})
    assert strict.process.wait(20) == EX_CONFIG
    (line,) = errors(strict)
    assert variable in line
    assert line.endswith(ENDS)
    assert len(f"otel-celery: ERROR: {line}") <= 300


@pytest.mark.solo
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "nonsense"),
        ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "*, absent"),
        ("OTEL_PROPAGATORS", "absent"),
    ],
)
def test_a_plugin_that_does_not_work_costs_the_metrics_alone(
    site: Site, tmp_path: Path, variable: str, value: str
) -> None:
    """One sentence instead of OpenTelemetry's traceback, and the worker runs its tasks."""
    worker = HOOK.start(site, "solo", environment={"PYTHONPATH": broken(tmp_path), variable: value})
    run_one(site, worker)
    assert worker.stop() == 0
    (line,) = errors(worker)
    assert line.startswith(f"{variable}={value!r} is not allowed: it must be ")
    assert line.endswith("; metrics and spans are off")
    assert "Traceback" not in worker.log


@pytest.mark.solo
def test_a_detector_that_raises_anything_costs_the_metrics_alone(site: Site, tmp_path: Path) -> None:
    """It works until it is asked: the worker runs its tasks, and says once that it has no metrics."""
    environment = {"PYTHONPATH": broken(tmp_path), "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "looks"}
    worker = HOOK.start(site, "solo", environment=environment)
    run_one(site, worker)
    assert worker.stop() == 0
    assert errors(worker) == ["could not start, metrics and spans are off: Own"]


@pytest.mark.solo
def test_detectors_that_are_installed_describe_the_worker(site: Site) -> None:
    """Those of the SDK by name, with an empty place in the list, as the SDK reads it."""
    environment = {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "os, ,otel"}
    worker = HOOK.start(site, "solo", environment=environment).wait_ready()
    assert 'os_type="linux"' in worker.scrape().text
    assert worker.stop() == 0


@pytest.mark.solo
def test_a_service_called_prometheus_is_said_once_and_sets_no_port(site: Site) -> None:
    """Kubernetes puts its address into every pod; a strict worker lives, and the next source of the port counts."""
    port = free_port()
    link = {"PROMETHEUS_PORT": "tcp://10.43.0.12:9090", "PROMETHEUS_SERVICE_HOST": "10.43.0.12"}
    environment = {**link, "OTEL_EXPORTER_PROMETHEUS_PORT": str(port), f"{OURS}STRICT": "true"}
    worker = HOOK.start(site, "solo", environment=environment)
    worker.port = port
    worker.wait_ready()
    assert worker.scrape().value("celery_worker_up") == 1
    assert worker.stop() == 0
    assert worker.log.count("is Kubernetes's, about the Service prometheus, and was ignored") == 1


@pytest.mark.solo
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_that_is_away_shows_no_secret(site: Site, protocol: str) -> None:
    """Neither the endpoint's, nor its query's, nor the headers' is in what the worker says of it."""
    environment = {
        **dict.fromkeys(("OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER"), "otlp"),
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:hunter2hunter2@127.0.0.1:{free_port()}/x?key=hunter2hunter2",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20hunter2hunter2",
        "OTEL_METRIC_EXPORT_INTERVAL": "300",
        "OTEL_METRIC_EXPORT_TIMEOUT": "1000",
    }
    worker = HOOK.start(site, "solo", environment=environment)
    run_one(site, worker)
    wait_until(lambda: "metrics cannot be pushed to http://***@127.0.0.1:" in worker.log, "it is said", 30)
    assert worker.stop() == 0
    assert "hunter2" not in worker.log


@pytest.mark.parametrize(
    ("way", "pool"), crossed([HOOK, LINE, INSTRUMENT_ALONE], pools("prefork", "threads", "gevent", "eventlet"))
)
def test_a_bad_value_on_every_pool_and_in_every_way(site: Site, way: Way, pool: str) -> None:
    """Whichever way, and on whichever pool, a bad value is said once, and ends a strict worker with status 78."""
    strict = way.start(site, pool, name="strict", environment={"PROMETHEUS_PORT": "abc", f"{OURS}STRICT": "true"})
    worker = way.start(site, pool, environment={"PROMETHEUS_PORT": "abc"})
    run_one(site, worker)
    assert strict.process.wait(20) == EX_CONFIG
    assert worker.stop() == 0
    (line,) = errors(worker)
    assert errors(strict) == [line.replace("; metrics and spans are off", ENDS)]


@pytest.mark.solo
@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_f53_files_that_are_no_certificate(site: Site, tmp_path: Path, strict: bool) -> None:  # noqa: FBT001  pytest's
    """A TLS file that can be read and not used is one ERROR line that names it, and never a port without TLS."""
    files = {name: tmp_path / name for name in ("CERT", "KEY")}
    for file in files.values():
        file.write_text("not a certificate\n")
    environment = {f"{OURS}TLS_{name}_FILE": str(file) for name, file in files.items()}
    worker = HOOK.start(site, "solo", environment={**environment, f"{OURS}STRICT": str(strict).lower()})
    if strict:
        assert worker.process.wait(20) == EX_CONFIG
    else:
        run_one(site, worker)
        assert proc.listeners(worker.port) == set()
        assert worker.stop() == 0
    (line,) = errors(worker)
    assert str(files["CERT"]) in line
    assert f"{OURS}TLS_CERT_FILE" in line
    assert opened(worker) == 0
    assert "Traceback" not in worker.log


@pytest.mark.solo
def test_a_variable_that_is_none_of_ours(site: Site) -> None:
    """A misspelt variable is one WARNING line with the nearest name, and the metrics are on."""
    worker = HOOK.start(site, "solo", environment={f"{OURS}BUCKET": "1,2"}).wait_ready()
    assert worker.stop() == 0
    (line,) = [line for line in worker.log.splitlines() if "WARNING/" in line and "otel-celery" in line]
    assert f"{OURS}BUCKET " in line
    assert f"did you mean {OURS}BUCKETS?" in line
    assert opened(worker) == 1


@pytest.mark.solo
@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_a_host_that_does_not_exist(site: Site, strict: bool) -> None:  # noqa: FBT001  pytest's
    """A host that cannot be listened on is one ERROR line that names OTEL_EXPORTER_PROMETHEUS_HOST and the host."""
    environment = {"OTEL_EXPORTER_PROMETHEUS_HOST": "192.0.2.1", f"{OURS}STRICT": str(strict).lower()}
    worker = HOOK.start(site, "solo", environment=environment)
    if strict:
        assert worker.process.wait(20) == EX_CONFIG
    else:
        run_one(site, worker)
        assert worker.stop() == 0
    (line,) = errors(worker)
    assert "OTEL_EXPORTER_PROMETHEUS_HOST" in line
    assert "192.0.2.1" in line
