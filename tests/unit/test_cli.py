"""The command line: what is printed, and with which status a command ends."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import redis
import trustme
from click.testing import CliRunner, Result

from otel_celery.cli import main
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    assert result.exit_code == 1
    assert result.output.startswith("Metrics are off for a worker; PROMETHEUS_ENABLED=true switches them on.\n")
    assert "served" not in result.output


def test_a_check_says_where_the_port_will_be() -> None:
    """Status 0, and the address in full."""
    port = free_port()
    result = call("check", PROMETHEUS_ENABLED="true", PROMETHEUS_PORT=str(port))
    first, second, *_ = result.output.splitlines()
    assert result.exit_code == 0
    assert first == "For an app that calls instrument(app); -A tells whether one does:"
    assert second == f"Metrics are served on http://localhost:{port}/metrics, in the worker's main process."


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
        "Metrics are off for a worker: OTEL_SDK_DISABLED=true switches everything off.\n",
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
    assert result.stderr == f"Error: the port {port} on 127.0.0.1 cannot be opened now: Address already in use\n"
    assert result.stdout == "", "nothing that denies it"


def test_a_check_tells_of_settings_and_exporters_that_are_none() -> None:
    """A misspelt setting is a warning with the nearest; an exporter that is not installed is an error."""
    result = call("check", OTEL_METRICS_EXPORTER="console,carrier-pigeon", OTEL_PYTHON_CELERY_BUKETS="1")
    assert result.exit_code == 78
    assert result.stdout == (
        "OTEL_PYTHON_CELERY_BUKETS is not a setting of otel-celery and was ignored; did you mean "
        "OTEL_PYTHON_CELERY_BUCKETS?\n"
    )
    assert result.stderr == (
        "Error: OTEL_METRICS_EXPORTER names 'carrier-pigeon', which no installed package registers under the entry "
        "point group opentelemetry_metrics_exporter\n"
    )


@pytest.mark.parametrize("signal", ["METRICS", "TRACES"])
@pytest.mark.parametrize("exporters", ["prometeus", "console,prometeus"])
def test_a_check_has_no_plan_beside_an_error(signal: str, exporters: str) -> None:
    """The error stands alone, and nothing that would deny it before it."""
    result = call("check", **{f"OTEL_{signal}_EXPORTER": exporters, "PROMETHEUS_ENABLED": "false"})
    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr.startswith(f"Error: OTEL_{signal}_EXPORTER names 'prometeus', which no installed package")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "setting"), [("PROMETHUES_PORT", "PROMETHEUS_PORT"), ("PROMETHEUS_ENABLE", "PROMETHEUS_ENABLED")]
)
def test_a_check_names_what_looks_like_a_setting(name: str, setting: str) -> None:
    """And says that metrics are off, since that variable does not switch them on."""
    first, *_, last = call("check", **{name: "1"}).output.splitlines()
    assert first == "Metrics are off for a worker; PROMETHEUS_ENABLED=true switches them on."
    assert last == f"{name} is not a setting of otel-celery and was ignored; did you mean {setting}?"


def test_a_check_says_what_publishers_beat_and_traces_will_do() -> None:
    """Each in a sentence, by what is set."""
    port = {"PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": str(free_port())}
    nothing, beat, header, counted = call("check", **port).output.splitlines()[2:]
    assert nothing == "No spans are made: OTEL_TRACES_EXPORTER names no exporter."
    assert beat == (
        "Beat serves its own on the same port: beside a worker of this environment, and in a worker (-B), it needs "
        "OTEL_PYTHON_CELERY_BEAT_PORT."
    )
    assert header == "Messages carry the time at which they are published, also from web servers and scripts."
    assert counted.endswith("instrument(app, registry=...) names a registry, and else nowhere; they open no port.")
    pushed = {"OTEL_METRICS_EXPORTER": "console", "OTEL_PYTHON_CELERY_SENT_HEADER": "false"}
    beat, header, counted = call("check", **pushed).output.splitlines()[-3:]
    assert beat == "Beat pushes its own in the same way."
    assert header.startswith("Messages carry no time (OTEL_PYTHON_CELERY_SENT_HEADER=false): ")
    assert counted == "What web servers and scripts publish is counted, and pushed to console."
    spans = call("check", OTEL_TRACES_EXPORTER="console").output.splitlines()
    assert spans[1].startswith("Metrics are off for a worker: only spans are asked for (OTEL_TRACES_EXPORTER); ")
    assert spans[2].startswith("Spans of publishing and running tasks are sent to console")


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
    assert result.stdout.splitlines()[1:-4] == [
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
    assert "https" not in result.stdout
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


HEAD = "from celery import Celery\n\napp = Celery('proj', broker='memory://')\n"
BODY = "\n@app.task(name='proj.work')\ndef work(): ...\n"


def checked(directory: Path, app: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Check an app as an operator does, in a process of its own: the app's modules stay imported."""
    (directory / "proj.py").write_text(f"{HEAD}{app}{BODY}")
    command = [sys.executable, "-m", "otel_celery.cli", "check", "-A", "proj", *arguments]
    own = {**os.environ, "PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": str(free_port()), **environ}
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, env=own, check=False)


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("import otel_celery; otel_celery.instrument(app)", ["The app calls instrument()."]),
        ("app.conf.imports = ['otel_celery.hook']", ["The app imports otel_celery.hook."]),
        ("app.conf.include = ['otel_celery.hook']", ["The app imports otel_celery.hook."]),
        ("import otel_celery.hook", ["The app imports otel_celery.hook."]),
    ],
    ids=["instrument", "imports", "include", "import"],
)
def test_a_check_says_how_the_app_loads_otel_celery(tmp_path: Path, line: str, sentences: list[str]) -> None:
    """And only then that metrics are served; beat goes with the worker, and publishers need the line."""
    done = checked(tmp_path, line)
    first, routes, broker, *rest = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert first == "The app 'proj' is proj, with 1 task."
    assert routes == "Its tasks go to the queue celery (1)."
    assert broker == "The broker memory://localhost// answers."
    assert rest[: len(sentences)] == sentences
    assert rest[len(sentences)].startswith("Metrics are served on ")
    assert ("web servers and scripts. instrument" in done.stdout) is False
    assert ("Web servers and scripts that publish do not load otel-celery" in done.stdout) is ("hook" in line)
    assert "Beat serves its own on the same port" in done.stdout


@pytest.mark.parametrize("line", ["", "from otel_celery import instrument; instrument(Celery('other'))"])
def test_a_check_of_an_app_that_loads_nothing_says_that_nothing_is_served(tmp_path: Path, line: str) -> None:
    """Whatever the environment says; the line for another app is none for this one."""
    done = checked(tmp_path, line)
    assert done.returncode == 1
    assert "Nothing loads otel-celery in this app's workers: they have no metrics, whatever the" in done.stdout
    assert "served" not in done.stdout


def test_a_check_takes_what_the_workers_command_line_includes(tmp_path: Path) -> None:
    """The hook loads it in a worker, and in nothing else."""
    done = checked(tmp_path, "", "-I", "otel_celery.hook")
    assert done.returncode == 0
    assert "-I otel_celery.hook loads otel-celery in a worker.\nMetrics are served on " in done.stdout
    assert "Beat serves and pushes nothing: it has no -I, so name otel_celery.hook in the app's setting" in done.stdout


def test_a_check_under_the_launcher_knows_it(tmp_path: Path) -> None:
    """It is run as the worker is."""
    (tmp_path / "proj.py").write_text(HEAD + BODY)
    bin_ = Path(sys.executable).parent
    command = [str(bin_ / "opentelemetry-instrument"), str(bin_ / "otel-celery"), "check", "-A", "proj"]
    own = {**os.environ, "PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": str(free_port())}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=own, check=False)
    assert done.returncode == 0, done.stderr
    assert "opentelemetry-instrument loads otel-celery.\nMetrics are served on " in done.stdout
    assert "publish is not counted: that needs instrument(app) in the app's module." in done.stdout


@pytest.mark.parametrize(
    ("line", "arguments", "sentence"),
    [
        (
            "from otel_celery import instrument; instrument('proj')",
            (),
            "takes a Celery app, and not 'proj': write instr",
        ),
        (
            "app.conf.imports = ['otel_celery']",
            (),
            "imports otel_celery, which switches nothing on: name otel_celery.hook",
        ),
        ("", ("-I", "otel_celery"), "-I otel_celery switches nothing on: write -I otel_celery.hook"),
        ("", ("-I", "otel_celery.hok"), "the module 'otel_celery.hok' cannot be loaded: ModuleNotFoundError"),
        ("import no_such", (), "the app 'proj' cannot be loaded: ModuleNotFoundError: No module named 'no_such'"),
        (
            "import sys; sys.exit()",
            (),
            "the app 'proj' cannot be loaded: as it is imported it ends the process (SystemExit())",
        ),
        (
            "",
            ("-I", "leaves"),
            "the module 'leaves' cannot be loaded: as it is imported it ends the process (SystemExit('it is late'))",
        ),
    ],
    ids=["name", "imports", "include", "misspelt", "import", "exit", "included-exit"],
)
def test_a_check_of_an_app_that_cannot_work_is_an_error_alone(
    tmp_path: Path, line: str, arguments: tuple[str, ...], sentence: str
) -> None:
    """Status 78, one line on stderr, and nothing of what would be served."""
    (tmp_path / "leaves.py").write_text("raise SystemExit('it is late')\n")
    done = checked(tmp_path, line, *arguments)
    assert (done.returncode, done.stdout) == (78, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("where", ["app", "module"])
def test_a_check_ends_by_ctrl_c_as_any_command(tmp_path: Path, where: str) -> None:
    """While the app is imported, or a module of -I; that is no mistake of the app's."""
    press = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    (tmp_path / "slow.py").write_text(press)
    done = checked(tmp_path, press) if where == "app" else checked(tmp_path, "", "-I", "slow")
    assert (done.returncode, done.stdout, done.stderr.strip()) == (1, "", "Aborted!")


def test_a_check_reads_the_environment_that_the_app_leaves(tmp_path: Path) -> None:
    """An app's module may set variables, as it does in a worker."""
    port = free_port()
    done = checked(tmp_path, f"import os, otel_celery.hook\nos.environ['PROMETHEUS_PORT'] = '{port}'")
    assert f"Metrics are served on http://localhost:{port}/metrics" in done.stdout


QUEUES = """
from kombu import Queue
app.conf.update(task_default_queue="odd", task_queues=[Queue("odd"), Queue("even")])
app.conf.task_routes = ({"a.*": {"queue": "even"}}, {"b.own": "elsewhere"})
def nothing(): ...
for name in ("a.one", "a.two", "b.own", "c"):
    app.task(name=name)(nothing)
app.task(name="d", queue="named")(nothing)
"""
FUSSY = "app.conf.task_routes = [lambda name, args, *_, **__: args[0]]\n"


def test_a_check_names_the_queues_of_the_tasks(tmp_path: Path) -> None:
    """By routes, defaults and the tasks' own, and those that a worker without -Q leaves alone."""
    settled = checked(tmp_path, QUEUES)
    _, routes, consumed, *_ = settled.stdout.splitlines()
    assert routes == "Its tasks go to the queues elsewhere (1), even (2), named (1) and odd (2)."
    assert consumed == "A worker without -Q consumes even and odd, and not elsewhere and named."
    assert "decides for" not in settled.stdout
    assert "A router of the app's decides for " in checked(tmp_path, QUEUES + FUSSY).stdout


def test_a_check_asks_the_broker_and_makes_no_queue(tmp_path: Path, redis_url: str) -> None:
    """It names the host, what waits, and no password."""
    url = f"{redis_url.rsplit('/', 1)[0]}/9"
    with redis.Redis.from_url(url) as server:
        server.flushdb()
        server.rpush("even", "1", "2")
        done = checked(tmp_path, f"app.conf.broker_url = {url!r}\n{QUEUES}")
        assert server.keys() == [b"even"]
        server.flushdb()
    assert f"The broker {url} answers; messages wait there: 2 in even.\n" in done.stdout


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_check_of_a_broker_that_is_away_says_so_without_its_password(tmp_path: Path, scheme: str) -> None:
    """Status 1, with the reason, soon."""
    port = free_port()
    began = time.monotonic()
    done = checked(
        tmp_path, f"import otel_celery.hook; app.conf.broker_url = '{scheme}://me:hidden@127.0.0.1:{port}/1'"
    )
    assert done.returncode == 1
    assert f"The broker {scheme}://***@127.0.0.1:{port}/1 does not answer: " in done.stdout
    assert ".." not in done.stdout
    assert "hidden" not in done.stdout + done.stderr
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("url", ["redis://me:hid/den@host:6379/0", "redis://me:hid#den@host", "nosuch://me:hidden@x"])
def test_a_check_of_a_url_that_cannot_be_read_says_so_without_its_password(tmp_path: Path, url: str) -> None:
    """One sentence instead of a traceback, whose last line would quote a part of the password."""
    done = checked(tmp_path, f"import otel_celery.hook; app.conf.broker_url = {url!r}")
    assert done.returncode == 1
    assert "The broker whose URL was given does not answer: the URL cannot be read" in done.stdout
    assert "hid" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_waits_five_seconds_for_a_broker_that_hangs(tmp_path: Path) -> None:
    """One that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        done = checked(tmp_path, f"app.conf.broker_url = 'amqp://127.0.0.1:{port}'")
    assert re.search(rf"The broker amqp://\*{{3}}@127\.0\.0\.1:{port}/* does not answer", done.stdout), done.stdout


def test_a_check_of_an_app_that_is_none_says_why() -> None:
    """Status 78, with the exception."""
    result = call("check", "-A", "no_such_app")
    assert result.exit_code == 78
    assert "the app 'no_such_app' cannot be loaded: ModuleNotFoundError" in result.stderr
    assert call("check", "-I", "otel_celery.hook").exit_code == 2


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


def test_the_runbook_is_printed_where_no_port_serves_it() -> None:
    """An alert's section by its name, in any case; or all of them."""
    section = call("runbook", "celerypoolsaturated").output
    assert section.startswith("## CeleryPoolSaturated\n\nwarning, after 5 minutes. ")
    assert section.count("## ") == 1
    whole = call("runbook").output
    assert whole.startswith("# Runbook\n")
    assert section in whole
    last = call("runbook", "CelerySuccessBudgetLeaking").output
    assert whole.endswith(last)


def test_an_alert_that_is_misspelt_is_told_its_name() -> None:
    """Wrong usage."""
    done = call("runbook", "celeryworkerdwn")
    assert done.exit_code == 2
    assert done.stderr.endswith("Error: there is no alert 'celeryworkerdwn'; is it CeleryWorkerDown?\n")
    assert call("runbook", "x").stderr.endswith("Error: there is no alert 'x'\n")


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
