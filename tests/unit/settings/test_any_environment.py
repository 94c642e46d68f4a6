"""Any environment at all: settings that are valid, or one sentence about one variable."""

from __future__ import annotations

import io
import os
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from otel_celery import worker as module
from otel_celery.settings import variables
from otel_celery.settings.settings import ENDS, EX_CONFIG, Settings, SettingsError, read
from otel_celery.settings.settings import traces as read_traces
from otel_celery.worker import Instrumentation
from tests.unit.observe.fakes import Worker, make_app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXAMPLES = settings().max_examples
"""What a property has without a number of its own: these have many times as many, wherever they are played."""
SECRET = "hunter2Hunter"
OURS = "OTEL_PYTHON_CELERY_"
NAMES = (*variables.names(), f"{OURS}STRIKT", f"{OURS}POOL_X_PORT")
ON = {"PROMETHEUS_ENABLED": "true", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_TRACES_EXPORTER": "otlp"}

WORDS = (
    "true",
    "false",
    "otlp",
    "none",
    "prometheus",
    "console",
    "grpc",
    "http/protobuf",
    "gzip",
    "delta",
    "otlp,none",
)
NUMBERS = ("0", "1", "9101", "65536", "-1", "1e999", "nan", "0" * 5000 + "7", "9" * 5000, "tcp://10.43.0.12:9090", "٣")
HOSTS = (
    "a..b",
    "x" * 64,
    "\u2488com",
    "büro",
    "[::1",
    "[::1]:4318",
    "c:99999",
    "c:" + "9" * 5000,
    "\udcff",
    "fe80::1%eth0",
)

texts = st.one_of(
    st.sampled_from((*WORDS, *NUMBERS, *HOSTS, "/dev/zero", "/proc/self/mem", "\0", "[z-a]", "((((", "*" * 50_000)),
    st.text(st.characters(), max_size=30),  # surrogates among them
    st.text(max_size=5).map(lambda text: text * 20_000),
    st.lists(st.sampled_from((*WORDS, *NUMBERS)), max_size=70).map(",".join),
)

# A secret, written in whatever way into the URL of an endpoint, or among its headers.
secretive = st.tuples(
    st.sampled_from(("http://", "https://", "", "http:/", "http:", "//", "ftp://", "HTTP://", " http://", "x" * 300)),
    st.sampled_from(
        (f"user:{SECRET}@", f":{SECRET}@", f"u@{SECRET}@", f"u:{SECRET}/@", f"u:?{SECRET}@", f"u:{SECRET}%40")
    ),
    st.sampled_from(("", "c", "c:4318", *HOSTS)) | st.text(max_size=20),
    st.sampled_from(
        ("", "/", "/v1/traces", f"?key={SECRET}", f"/x?{SECRET}", f"#{SECRET}", f"?a=b@{SECRET}", "x" * 100_000)
    ),
).map("".join)
headers = st.tuples(
    st.sampled_from(("", "a=b,", "authorization=", "a b=", "x-y-bin=", "é=", "%0A=", "authorization=Bearer%20")),
    st.sampled_from((SECRET, f'"{SECRET}"', f"%0A{SECRET}", f"{SECRET}%E2%82%AC", f"{SECRET}\\")),
    st.sampled_from(("", ",", ",x", "\udcff")),
).map("".join)

environments = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    st.sampled_from(({}, ON, {**ON, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})),
    st.dictionaries(st.sampled_from(NAMES), texts, max_size=3),
    st.dictionaries(st.sampled_from(tuple(name for name in NAMES if name.endswith("ENDPOINT"))), secretive, max_size=1),
    st.dictionaries(st.sampled_from(tuple(name for name in NAMES if name.endswith("HEADERS"))), headers, max_size=1),
    st.dictionaries(st.text(max_size=40).map(OURS.__add__), texts, max_size=2),
)


def is_a_sentence(said: str) -> bool:
    """Tell whether a text is one line, short enough for what is said with it, and free of the secret."""
    return 0 < len(said) <= 240 and said.isprintable() and SECRET not in said


@pytest.mark.timeout(900)  # ten seconds on a machine with nothing else to do
@settings(
    max_examples=30 * EXAMPLES, deadline=timedelta(seconds=30), suppress_health_check=list(HealthCheck), database=None
)
@given(environments)
def test_any_environment_is_settings_or_a_sentence(environ: dict[str, str]) -> None:
    """No other exception, no secret in what is said or kept for the log, and a bound on all of it."""
    for reading in (read, read_traces):
        said, found = outcome(reading, environ)
        assert SECRET not in repr(found)
        assert all(is_a_sentence(sentence) for sentence in (*said, *said_of(found)))


def outcome(reading: Callable[[dict[str, str]], object], environ: dict[str, str]) -> tuple[list[str], object]:
    """Read an environment; the sentence that refuses it begins with the variable."""
    try:
        return [], reading(environ)
    except SettingsError as error:
        return [str(error)] if str(error).startswith(f"{error.variable}=") else [""], None


@pytest.mark.timeout(300)
@settings(
    max_examples=8 * EXAMPLES, deadline=timedelta(seconds=30), suppress_health_check=list(HealthCheck), database=None
)
@given(environments)
def test_any_mistake_ends_a_strict_worker_with_78(environ: dict[str, str]) -> None:
    """After one line of at most 300 characters, and with nothing begun."""
    environ = {**environ, f"{OURS}STRICT": "true"}
    said, _ = outcome(read, environ)
    assume(said)
    handle, worker, log = Instrumentation(make_app()), Worker(make_app()), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "os", SimpleNamespace(environ=environ))
        patch.setattr(module, "say", lambda _level, sentence: log.write(sentence + "\n"))
        handle.start(worker)
        with pytest.raises(SystemExit) as ended:
            worker.on_init_blueprint()
    handle.uninstrument()
    assert ended.value.code == EX_CONFIG == 78
    assert log.getvalue() == f"{said[0]}{ENDS}\n"
    assert len(log.getvalue()) <= 300
    assert not handle.sessions


def said_of(found: object) -> list[str]:
    """List what the log and `otel-celery check` may say of settings."""
    if not isinstance(found, Settings):
        return []
    pushed = found.push.exporters if found.push else ()
    traced = found.traces.exporters if found.traces else ()
    exporters = (*pushed, *traced)
    return [*found.warnings, *(exporter.place for exporter in exporters), *(exporter.missing for exporter in exporters)]


@settings(
    max_examples=2 * EXAMPLES, deadline=timedelta(seconds=30), suppress_health_check=list(HealthCheck), database=None
)
@given(st.sampled_from(NAMES), st.integers(0, 5000))
def test_any_file_is_settings_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, name: str, size: int) -> None:
    """A path that names something else than a file of the right kind among them."""
    folder: Path = tmp_path_factory.getbasetemp()
    (folder / "random").write_bytes(os.urandom(size))
    for value in (folder, folder / "random", folder / "missing", folder / ("x" * 300)):
        said, _ = outcome(read, {**ON, name: str(value)})
        assert all(is_a_sentence(sentence) for sentence in said)
