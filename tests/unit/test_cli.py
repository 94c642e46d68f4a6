"""The command line: what is printed, and with which status a command ends."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import trustme
from click.testing import CliRunner, Result

from otel_celery.cli import main
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

OURS = ("OTEL_", "PROMETHEUS_")
APART: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
"""Click 8.1 has to be asked to keep stderr apart; later versions always do."""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give each test an environment without settings, and a directory without a pools.toml."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def call(*arguments: str, **environ: str) -> Result:
    """Call the command."""
    return CliRunner(env=environ, **APART).invoke(main, arguments)


class Health(http.server.BaseHTTPRequestHandler):
    """A port that is ready, and not healthy."""

    answers: ClassVar[Mapping[str, tuple[int, bytes]]] = {
        "/-/ready": (200, b"ready\n"),
        "/-/healthy": (503, b"the event loop has not turned for 31 s\n"),
    }

    def do_GET(self) -> None:
        """Answer."""
        status, body = self.answers[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


@pytest.fixture
def health() -> Iterator[int]:
    """Serve a worker's health."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_help_names_every_command() -> None:
    """Lazy commands are listed like others."""
    result = call("--help")
    assert result.exit_code == 0
    assert all(f"  {name} " in result.output for name in ("check", "demo", "metrics", "pools", "probe", "targets"))


def test_an_unknown_command_is_refused() -> None:
    """With Click's own status for wrong usage."""
    assert call("chek").exit_code == 2


def test_a_probe_that_is_answered_well_ends_with_0(health: int) -> None:
    """The port is the environment's, and the sentence is printed."""
    result = call("probe", "ready", PROMETHEUS_PORT=str(health))
    assert (result.exit_code, result.output) == (0, "ready\n")


def test_a_probe_that_is_answered_badly_ends_with_1_and_says_why(health: int) -> None:
    """The worker's own sentence goes to stderr."""
    result = call("probe", "healthy", "--port", str(health), PROMETHEUS_PORT="1")
    assert (result.exit_code, result.stderr) == (1, "the event loop has not turned for 31 s\n")


def test_a_probe_without_an_answer_ends_with_1() -> None:
    """A worker that is not there is not ready."""
    port = free_port()
    result = call("probe", "ready", "--host", "127.0.0.1", "--port", str(port))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: 127.0.0.1:{port} does not answer: ")


def test_a_probe_in_a_wrong_environment_ends_with_78() -> None:
    """The sentence names the variable."""
    result = call("probe", "ready", PROMETHEUS_PORT="x")
    assert result.exit_code == 78
    assert "PROMETHEUS_PORT='x' is not allowed" in result.stderr


def test_a_probe_imports_neither_celery_nor_opentelemetry() -> None:
    """It runs every few seconds, and has to start fast."""
    script = (
        "import sys; from otel_celery.cli import main\n"
        "try: main(['probe', 'ready', '--port', '1'])\n"
        "except SystemExit: pass\n"
        "heavy = {'celery', 'kombu', 'opentelemetry', 'prometheus_client', 'rich', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_check_of_nothing_ends_with_1() -> None:
    """Nothing is wrong, and nothing is enabled either."""
    result = call("check")
    assert (result.exit_code, result.output) == (
        1,
        "No metrics are enabled: set PROMETHEUS_ENABLED=true.\n",
    )


def test_a_check_says_where_the_port_will_be() -> None:
    """Status 0, and the address in full."""
    port = free_port()
    result = call("check", PROMETHEUS_ENABLED="true", PROMETHEUS_PORT=str(port))
    assert (result.exit_code, result.output) == (
        0,
        f"Metrics are served on http://localhost:{port}/metrics, in the worker's main process.\n",
    )


def test_a_check_says_where_beats_port_will_be_and_tries_it() -> None:
    """It is named by a variable of its own, since the worker has the port in front of it."""
    environment = {"PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": str(free_port())}
    port = free_port()
    result = call("check", **environment, OTEL_PYTHON_CELERY_BEAT_PORT=str(port))
    assert result.exit_code == 0
    sentence = f"Those of beat are served on port {port}, in beat's process (OTEL_PYTHON_CELERY_BEAT_PORT).\n"
    assert sentence in result.output
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        result = call("check", **environment, OTEL_PYTHON_CELERY_BEAT_PORT=str(port))
    assert result.exit_code == 78
    assert f"the port {port} on localhost cannot be opened now: Address already in use" in result.stderr


def test_a_check_says_that_the_worker_shows_the_queues() -> None:
    """With how often it asks the broker."""
    environment = {"OTEL_PYTHON_CELERY_QUEUES": "true", "OTEL_PYTHON_CELERY_QUEUES_INTERVAL": "2500"}
    result = call("check", PROMETHEUS_ENABLED="true", PROMETHEUS_PORT=str(free_port()), **environment)
    assert "The worker shows the lengths of its app's queues, refreshed every 2.5 s.\n" in result.output


def test_a_check_of_a_disabled_sdk_says_so() -> None:
    """OTEL_SDK_DISABLED=true wins over everything."""
    result = call("check", PROMETHEUS_ENABLED="true", OTEL_SDK_DISABLED="true")
    assert (result.exit_code, result.output) == (
        1,
        "OTEL_SDK_DISABLED=true: nothing is installed, no port is opened.\n",
    )


def test_a_check_tries_the_port() -> None:
    """A port that is taken now is a mistake."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = call(
            "check",
            PROMETHEUS_ENABLED="true",
            OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1",
            PROMETHEUS_PORT=str(port),
        )
    assert result.exit_code == 78
    assert f"the port {port} on 127.0.0.1 cannot be opened now: Address already in use" in result.stderr


def test_a_check_tells_of_settings_and_exporters_that_are_none() -> None:
    """A misspelt setting is a warning with the nearest; an exporter that is not installed is an error."""
    result = call("check", OTEL_METRICS_EXPORTER="console,carrier-pigeon", OTEL_PYTHON_CELERY_BUKETS="1")
    assert result.exit_code == 78
    assert "Metrics are pushed to console every 60 s, and once more as the worker ends." in result.stdout
    assert "OTEL_PYTHON_CELERY_BUKETS is not a setting of otel-celery and was ignored; did you mean" in result.stdout
    assert result.stderr == (
        "Error: OTEL_METRICS_EXPORTER names 'carrier-pigeon', which no installed package registers under the entry "
        "point group opentelemetry_metrics_exporter\n"
    )


@pytest.mark.parametrize("signal", ["METRICS", "TRACES"])
def test_a_check_has_no_plan_for_an_exporter_that_is_none(signal: str) -> None:
    """Alone, it leaves the error and nothing else."""
    result = call("check", **{f"OTEL_{signal}_EXPORTER": "prometeus", "PROMETHEUS_ENABLED": "false"})
    assert result.exit_code == 78
    assert "pushed" not in result.stdout
    assert "sent" not in result.stdout
    assert result.stderr.startswith(f"Error: OTEL_{signal}_EXPORTER names 'prometeus', which no installed package")
    beside = call("check", **{f"OTEL_{signal}_EXPORTER": "console,prometeus"})
    assert beside.exit_code == 78
    assert "to console" in beside.stdout
    assert "prometeus" not in beside.stdout


def test_a_check_says_what_is_pushed_where() -> None:
    """Place, protocol, interval and shape in plain words; no credentials."""
    result = call(
        "check",
        OTEL_METRICS_EXPORTER="otlp,console",
        OTEL_EXPORTER_OTLP_ENDPOINT="https://me:secret@collector:4318?key=secret",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_METRIC_EXPORT_INTERVAL="5000",
        OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta",
        OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="base2_exponential_bucket_histogram",
    )
    assert (result.exit_code, result.stderr) == (0, "")
    theirs = "Where the app, or opentelemetry-instrument, has set an SDK MeterProvider that pushes by itself"
    place = "https://***@collector:4318/v1/metrics?*** (http/protobuf)"
    assert result.stdout.splitlines() == [
        f"Metrics are pushed to {place} every 5 s, and once more as the worker ends.",
        "  at most 10 s an export, compression gzip.",
        "Metrics are pushed to console every 5 s, and once more as the worker ends.",
        "OTLP's counters and histograms are delta, its histograms recorded by the SDK.",
        "OTLP's histograms have exponential buckets; a port keeps its own.",
        "Histograms carry exemplars with the trace of the task's message.",
        f"{theirs}, that one pushes instead.",
    ]


def test_a_check_warns_of_grpc() -> None:
    """Forks and gRPC do not go together well."""
    result = call("check", OTEL_METRICS_EXPORTER="otlp", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert result.exit_code == 0
    assert "Metrics are pushed to http://localhost:4317 (grpc) every 60 s" in result.stdout
    assert "gRPC does not like a process that forks" in result.stdout


def test_a_check_of_a_bad_value_is_the_settings_sentence() -> None:
    """Status 78, as a strict worker's."""
    result = call("check", PROMETHEUS_ENABLED="yes")
    assert result.exit_code == 78
    assert result.stderr == "Error: PROMETHEUS_ENABLED='yes' is not allowed: it must be true or false\n"


def test_a_check_reads_the_files_of_tls(tmp_path: Path) -> None:
    """A file that is no certificate is told of before the worker is started."""
    (tmp_path / "no.pem").write_text("nothing")
    result = call(
        "check",
        PROMETHEUS_ENABLED="true",
        PROMETHEUS_PORT=str(free_port()),
        OTEL_PYTHON_CELERY_TLS_CERT_FILE="no.pem",
        OTEL_PYTHON_CELERY_TLS_KEY_FILE="no.pem",
    )
    assert result.exit_code == 78
    assert "https://localhost" in result.stdout
    assert "no.pem and no.pem are no usable pair" in result.stderr


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Found an authority."""
    return trustme.CA()


def pem(path: Path, *blobs: trustme.Blob) -> str:
    """Write a PEM file."""
    path.write_bytes(b"".join(blob.bytes() for blob in blobs))
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize(
    ("flaw", "sentence"),
    [
        (None, ""),
        ("expired", "has expired on 2024-05-01"),
        ("another key", "are no usable pair (KEY_VALUES_MISMATCH)"),
        ("CA", "is no usable CA file"),
    ],
)
def test_a_check_refuses_the_certificates_that_a_worker_refuses(
    tmp_path: Path, authority: trustme.CA, flaw: str | None, sentence: str
) -> None:
    """The same code tries them, and the worker's sentence is printed."""
    end = dt.datetime(2024, 5, 1, tzinfo=dt.timezone.utc) if flaw == "expired" else None
    leaf, other = authority.issue_cert("localhost", not_after=end), authority.issue_cert("localhost")
    key = other if flaw == "another key" else leaf
    files = {
        "OTEL_PYTHON_CELERY_TLS_CERT_FILE": pem(tmp_path / "cert.pem", *leaf.cert_chain_pems),
        "OTEL_PYTHON_CELERY_TLS_KEY_FILE": pem(tmp_path / "key.pem", key.private_key_pem),
        "OTEL_PYTHON_CELERY_TLS_CLIENT_CA_FILE": pem(
            tmp_path / "ca.pem", leaf.private_key_pem if flaw == "CA" else authority.cert_pem
        ),
    }
    result = call("check", PROMETHEUS_ENABLED="true", PROMETHEUS_PORT=str(free_port()), **files)
    assert (result.exit_code, sentence in result.stderr) == (78 if flaw else 0, True)
    assert result.stderr.count("\n") == bool(flaw)


def test_a_check_reads_the_certificates_of_otlp(tmp_path: Path) -> None:
    """Each export would fail on them."""
    (tmp_path / "no.pem").write_text("nothing")
    result = call("check", OTEL_METRICS_EXPORTER="otlp", OTEL_EXPORTER_OTLP_CERTIFICATE="no.pem")
    assert result.exit_code == 78
    assert "the certificates for http://localhost:4318/v1/metrics (http/protobuf) cannot be used" in result.stderr


def test_a_check_says_what_is_ignored_and_what_others_may_read(tmp_path: Path) -> None:
    """Neither is a mistake that ends a worker."""
    secret = tmp_path / "credentials"
    secret.write_text("user:password")
    secret.chmod(0o644)
    port = free_port()
    result = call(
        "check",
        PROMETHEUS_ENABLED="true",
        PROMETHEUS_PORT="tcp://10.43.0.12:9090",
        OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
        OTEL_PYTHON_CELERY_CREDENTIALS_FILE=str(secret),
    )
    assert result.exit_code == 0
    assert f"http://localhost:{port}/metrics" in result.stdout
    assert "about the Service prometheus, and was ignored" in result.stdout
    assert "every user of this machine may read it" in result.stdout


def test_a_check_makes_no_line_of_a_path_s(tmp_path: Path) -> None:
    """A path may hold any letter but NUL."""
    secret = tmp_path / "a\nError: forged \udcff"
    secret.write_text("user:password")
    port = str(free_port())
    result = call(
        "check", PROMETHEUS_ENABLED="true", PROMETHEUS_PORT=port, OTEL_PYTHON_CELERY_CREDENTIALS_FILE=str(secret)
    )
    assert f"{tmp_path}/a\\nError: forged \\udcff." in result.stdout


@pytest.mark.parametrize("command", [("probe", "ready"), ("targets",)])
@pytest.mark.parametrize("host", ["a..b", "x" * 300, "\udcff", "http://user:hidden@h"])
def test_a_host_that_is_none_is_wrong_usage(command: tuple[str, ...], host: str) -> None:
    """And not a traceback of IDNA's."""
    result = call(*command, "--host", host)
    assert result.exit_code == 2
    assert "is neither a host's name nor an address" in result.stderr
    assert "hidden" not in result.output


def test_a_probe_prints_one_line(monkeypatch: pytest.MonkeyPatch, health: int) -> None:
    """Whatever it is that answers on that port."""
    monkeypatch.setattr(Health, "answers", {"/-/ready": (200, b"\x1b[2J<html>\n" * 1000)})
    result = call("probe", "ready", "--port", str(health))
    assert result.stdout.count("\n") == 1
    assert "\x1b" not in result.stdout
    assert len(result.stdout) < 300


def test_a_check_loads_the_app() -> None:
    """As celery -A would, in a process of its own: the app's modules stay imported."""
    command = [sys.executable, "-m", "otel_celery.cli", "check", "-A", "otel_celery.demo.app"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "The app 'otel_celery.demo.app' is otel_celery.demo, with 9 tasks.\n" in done.stdout


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "The app does not load otel-celery: start its worker with `-I otel_celery.hook`, or under "),
        ("import otel_celery; otel_celery.instrument(app)", "The app calls instrument()."),
        ("app.conf.imports = ['otel_celery.hook']", "The app imports otel_celery.hook."),
        ("app.conf.include = ['otel_celery.hook']", "The app imports otel_celery.hook."),
        ("import otel_celery.hook", "The app imports otel_celery.hook."),
    ],
    ids=["not", "instrument", "imports", "include", "import"],
)
def test_a_check_says_whether_the_app_loads_otel_celery(tmp_path: Path, line: str, sentence: str) -> None:
    """An app that does not is no mistake: its worker's command line may, and the status stays."""
    (tmp_path / "proj.py").write_text(f"from celery import Celery\n\napp = Celery('proj')\n{line}\n")
    command = [sys.executable, "-m", "otel_celery.cli", "check", "-A", "proj"]
    environ = {**os.environ, "PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": str(free_port())}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    first, second, third = done.stdout.splitlines()
    assert first == "The app 'proj' is proj, with 0 tasks."
    assert second.startswith(sentence)
    assert third.startswith("Metrics are served on ")


def test_a_check_of_an_app_that_is_none_says_why() -> None:
    """Status 78, with the exception."""
    result = call("check", "-A", "no_such_app")
    assert result.exit_code == 78
    assert "the app 'no_such_app' cannot be loaded: ModuleNotFoundError" in result.stderr


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_the_catalogue_is_printed_in_three_forms(form: str) -> None:
    """Each has the documented names."""
    result = call("metrics", "--format", form)
    assert result.exit_code == 0
    assert "celery_task_duration_seconds" in result.output
    assert form != "json" or json.loads(result.output)


def test_pools_without_a_file_are_the_documented_five() -> None:
    """Nobody answers here: every line says down, and the status is 1."""
    environ = {
        f"OTEL_PYTHON_CELERY_POOL_{name}_PORT": str(free_port())
        for name in ("TRADING", "PIPELINE", "ALLOCATION", "MARKET", "GENERAL")
    }
    result = call("pools", "status", **environ)
    assert result.exit_code == 1
    assert result.output.count("down") == 5
    assert all(port in result.output for port in environ.values())


def test_a_pools_file_in_the_directory_is_found(tmp_path: Path) -> None:
    """./pools.toml counts before the example."""
    (tmp_path / "pools.toml").write_text(f'[pools.mine]\napp = "x"\nport = {free_port()}')
    assert "mine" in call("pools", "status").output


def test_a_mistake_in_the_pools_file_ends_with_78(tmp_path: Path) -> None:
    """The sentence names file and key."""
    (tmp_path / "mine.toml").write_text('[pools.mine]\nap = "x"')
    result = call("pools", "up", "--file", "mine.toml")
    assert result.exit_code == 78
    assert result.stderr == "Error: mine.toml: pools.mine.ap is not a key of the pools file; did you mean app?\n"


def test_several_pools_on_one_port_are_refused() -> None:
    """PROMETHEUS_PORT is for one pool; the variables to use are named."""
    result = call("pools", "up", "trading", "market", PROMETHEUS_PORT="9201")
    assert result.exit_code == 78
    assert "use OTEL_PYTHON_CELERY_POOL_TRADING_PORT, OTEL_PYTHON_CELERY_POOL_MARKET_PORT" in result.stderr


def test_a_variable_for_no_pool_is_a_warning() -> None:
    """It names the nearest."""
    result = call("pools", "status", "trading", OTEL_PYTHON_CELERY_POOL_TRADIGN_PORT="9201")
    assert "Warning: OTEL_PYTHON_CELERY_POOL_TRADIGN_PORT names no pool of the file" in result.stderr


def test_the_example_printed_is_a_pools_file() -> None:
    """It is the beginning of one's own."""
    from otel_celery.pools import plan

    assert plan.parse(call("pools", "example").output) == plan.read(plan.EXAMPLE)


def test_targets_are_the_pools_as_prometheus_discovers_them() -> None:
    """The documented pools and the queues' exporter, on the host that is named, with what tells them apart."""
    result = call("targets", "--host", "localhost")
    assert (result.exit_code, result.stderr) == (0, "")
    *workers, exporter = json.loads(result.stdout)
    assert exporter == {"targets": ["localhost:9106"], "labels": {"job": "celery-queues"}}
    found = {group["labels"]["pool"]: group["targets"] for group in workers}
    assert found == {
        "trading": ["localhost:9101"],
        "pipeline": ["localhost:9102"],
        "allocation": ["localhost:9103"],
        "market": ["localhost:9104"],
        "general": ["localhost:9105"],
    }


def test_targets_without_a_host_have_this_machines_name() -> None:
    """As the node names of the workers have."""
    (group,) = json.loads(call("targets", "trading").stdout)
    assert group["targets"] == [f"{socket.gethostname()}:9101"]


def test_targets_that_only_this_machine_reaches_are_a_warning() -> None:
    """The ports listen on loopback unless the environment says otherwise."""
    sentence = "the ports listen on localhost, where only this machine's Prometheus reaches them"
    assert sentence in call("targets", "--host", "web1").stderr
    assert call("targets", "--host", "web1", OTEL_EXPORTER_PROMETHEUS_HOST="0.0.0.0").stderr == ""  # noqa: S104


def test_targets_are_written_to_a_file_whole(tmp_path: Path) -> None:
    """From a pools file of one's own, with the environment's port; what was in the file before is gone."""
    (tmp_path / "mine.toml").write_text('[pools.mine]\napp = "x"\nport = 9101')
    output = tmp_path / "mine.json"
    output.write_text("x" * 1000)
    result = call(
        *("targets", "--file", "mine.toml", "--host", "localhost", "--output", str(output)),
        OTEL_PYTHON_CELERY_POOL_MINE_PORT="9301",
    )
    assert (result.exit_code, result.output) == (0, "")
    assert json.loads(output.read_text()) == [{"targets": ["localhost:9301"], "labels": {"pool": "mine"}}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "mine.toml"]


def test_targets_of_a_mistaken_environment_end_with_78() -> None:
    """The sentence names the variable."""
    result = call("targets", OTEL_PYTHON_CELERY_TLS_CERT_FILE="cert.pem")
    assert result.exit_code == 78
    assert "OTEL_PYTHON_CELERY_TLS_" in result.stderr


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    for name in [
        name for name in sys.modules if name.partition(".")[0] == "honcho" or name == "otel_celery.pools.runner"
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "honcho", None)
    result = call("pools", "up", "trading")
    assert result.exit_code == 1
    assert result.stderr == "Error: honcho is not installed: pip install 'otel-celery[pools]' brings it\n"


def test_a_check_says_where_spans_go() -> None:
    """One sentence, with the bound; spans alone are enough to be enabled."""
    result = call("check", OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318")
    assert result.exit_code == 0
    assert "are sent to http://collector:4318/v1/traces (http/protobuf), unless the app" in result.stdout
    assert "waits at most 0.5 s for the last ones" in result.stdout
    assert call("check", OTEL_TRACES_EXPORTER="carrier-pigeon").exit_code == 78
