"""The environment: every variable's default and meaning, and each sentence that it is refused with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from otel_celery.settings.settings import (
    TLS,
    Bounds,
    Port,
    Settings,
    SettingsError,
    is_strict,
    read,
)

ON = {"PROMETHEUS_ENABLED": "true"}
OURS = "OTEL_PYTHON_CELERY_"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
RISING = "at most 60 increasing positive numbers of seconds, comma-separated"


def port(**environ: str) -> Port:
    """Read the port of an environment that serves one."""
    found = read({**ON, **environ}).port
    assert found is not None
    return found


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Make a file that can be read."""
    path = tmp_path / "file.pem"
    path.write_text("x")
    return str(path)


def test_an_empty_environment_exports_nothing() -> None:
    """With no variable set there is no port, no exporter, and every other setting has its default."""
    settings = read({})
    assert settings == Settings(None, None, BUCKETS, Bounds(500, 50, 200, (), ()), strict=False, warnings=())
    assert not settings.enabled


def test_only_the_given_mapping_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in os.environ does not matter to read()."""
    monkeypatch.setenv("PROMETHEUS_ENABLED", "true")
    assert not read({}).enabled


def test_settings_are_frozen() -> None:
    """Nobody changes settings after they are read."""
    with pytest.raises(AttributeError):
        read({}).strict = True  # type: ignore[misc]


def test_enabled_serves_the_specifications_port_on_localhost() -> None:
    """PROMETHEUS_ENABLED=true alone is port 9464 on localhost, to everybody, in the clear."""
    settings = read(ON)
    assert settings.port == Port("localhost", 9464, None, None)
    assert settings.enabled


@pytest.mark.parametrize("spelling", ["true", "TRUE", "True", " true "])
def test_true_may_be_written_in_any_case(spelling: str) -> None:
    """Case and surrounding space do not matter."""
    assert read({"PROMETHEUS_ENABLED": spelling}).port == Port()


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_value_counts_as_unset(value: str) -> None:
    """OpenTelemetry's specification demands it, and so it is for every variable."""
    names = (
        *("PROMETHEUS_ENABLED", "PROMETHEUS_PORT", "OTEL_METRICS_EXPORTER", "OTEL_SDK_DISABLED"),
        *("OTEL_EXPORTER_PROMETHEUS_PORT", "OTEL_EXPORTER_PROMETHEUS_HOST"),
        *(f"{OURS}{name}" for name in ("BUCKETS", "TASKS_ALLOW", "TASKS_DENY", "MAX_TASK_NAMES", "STRICT")),
        *(f"{OURS}{name}" for name in ("MAX_EXCEPTIONS", "LABEL_LENGTH", "TLS_CERT_FILE", "TLS_KEY_FILE")),
        *(f"{OURS}{name}" for name in ("TLS_CLIENT_CA_FILE", "CREDENTIALS_FILE")),
    )
    assert read(dict.fromkeys(names, value)) == Settings()
    assert read({**dict.fromkeys(names, value), **ON}).port == Port()


@pytest.mark.parametrize(
    ("environ", "number"),
    [
        ({}, 9464),
        ({"OTEL_EXPORTER_PROMETHEUS_PORT": "9200"}, 9200),
        ({"PROMETHEUS_PORT": "9101"}, 9101),
        ({"PROMETHEUS_PORT": "9101", "OTEL_EXPORTER_PROMETHEUS_PORT": "9200"}, 9101),
        ({"PROMETHEUS_PORT": "1"}, 1),
        ({"PROMETHEUS_PORT": "65535"}, 65535),
    ],
)
def test_the_documented_port_wins(environ: dict[str, str], number: int) -> None:
    """PROMETHEUS_PORT comes before the standard's variable, and that before 9464."""
    assert port(**environ).number == number


@pytest.mark.parametrize("name", ["PROMETHEUS_PORT", "OTEL_EXPORTER_PROMETHEUS_PORT", "OTEL_EXPORTER_PROMETHEUS_HOST"])
def test_a_port_alone_enables_nothing(name: str) -> None:
    """A port is served only where it is asked for."""
    assert read({name: "9101"}) == Settings()


def test_the_host_is_the_standards_variable() -> None:
    """OTEL_EXPORTER_PROMETHEUS_HOST says which address is listened on."""
    assert port(OTEL_EXPORTER_PROMETHEUS_HOST="0.0.0.0").host == "0.0.0.0"  # noqa: S104  it is what is asked for


@pytest.mark.parametrize(
    ("environ", "serves", "exporters"),
    [
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, True, ()),
        ({"OTEL_METRICS_EXPORTER": "none"}, False, ()),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, False, ("otlp",)),
        ({"OTEL_METRICS_EXPORTER": " otlp , prometheus ,console,"}, True, ("otlp", "console")),
        ({"OTEL_METRICS_EXPORTER": "otlp,otlp,prometheus,prometheus"}, True, ("otlp",)),
        ({"OTEL_METRICS_EXPORTER": "otlp", "PROMETHEUS_ENABLED": "true"}, True, ("otlp",)),
        ({"OTEL_METRICS_EXPORTER": "none", "PROMETHEUS_ENABLED": "true"}, True, ()),
        ({"OTEL_METRICS_EXPORTER": "none", "PROMETHEUS_ENABLED": "false"}, False, ()),
        ({"OTEL_METRICS_EXPORTER": "otlp,prometheus", "PROMETHEUS_ENABLED": "false"}, False, ("otlp",)),
        ({"OTEL_METRICS_EXPORTER": "prometheus", "PROMETHEUS_ENABLED": "false"}, False, ()),
        ({"PROMETHEUS_ENABLED": "false"}, False, ()),
        ({"OTEL_METRICS_EXPORTER": "my_entry_point"}, False, ("my_entry_point",)),
    ],
)
def test_enabled_puts_prometheus_in_and_out(environ: dict[str, str], serves: bool, exporters: tuple[str, ...]) -> None:  # noqa: FBT001
    """PROMETHEUS_ENABLED adds prometheus to OTEL_METRICS_EXPORTER or takes it out, whatever else stands there."""
    settings = read(environ)
    names = tuple(exporter.name for exporter in settings.push.exporters) if settings.push is not None else ()
    assert (settings.port is not None, names) == (serves, exporters)
    assert settings.enabled == (serves or bool(exporters))


def test_the_sdk_disabled_switches_everything_off() -> None:
    """OTEL_SDK_DISABLED=true leaves nothing on, and no other value is looked at but STRICT's."""
    environ = {**ON, "OTEL_SDK_DISABLED": "true", "PROMETHEUS_PORT": "x", f"{OURS}STRICT": "true", f"{OURS}X": "1"}
    assert read(environ) == Settings(strict=True)
    assert read({**ON, "OTEL_SDK_DISABLED": "false"}).enabled


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"PROMETHEUS_ENABLED": "yes"}, "PROMETHEUS_ENABLED='yes' is not allowed: it must be true or false"),
        ({"OTEL_SDK_DISABLED": "1"}, "OTEL_SDK_DISABLED='1' is not allowed: it must be true or false"),
        ({f"{OURS}STRICT": "on"}, "OTEL_PYTHON_CELERY_STRICT='on' is not allowed: it must be true or false"),
        (
            {"OTEL_METRICS_EXPORTER": "otlp,none"},
            "OTEL_METRICS_EXPORTER='otlp,none' is not allowed: it must be none alone, or exporters without none",
        ),
        *(
            (
                {**ON, name: value},
                f"{name}={value.strip()!r} is not allowed: it must be a whole number from 1 to 65535",
            )
            for name in ("PROMETHEUS_PORT", "OTEL_EXPORTER_PROMETHEUS_PORT")
            for value in ("0", "65536", "-1", "+9101", "9101.0", "http", "0x10", "9 1", "1_000", "\u0663", " x ")
        ),
        *(
            (
                {f"{OURS}{name}": value},
                f"OTEL_PYTHON_CELERY_{name}={value!r} is not allowed: it must be a whole number from {low} to {high}",
            )
            for name, low, high in (
                ("MAX_TASK_NAMES", 1, 100_000),
                ("MAX_EXCEPTIONS", 1, 10_000),
                ("LABEL_LENGTH", 8, 10_000),
            )
            for value in (str(low - 1), str(high + 1), "many")
        ),
        *(
            (
                {f"{OURS}BUCKETS": value},
                f"OTEL_PYTHON_CELERY_BUCKETS={value!r} is not allowed: it must be {RISING}",
            )
            for value in (
                *("nan", "1,nan", "nan,1", "inf", "1,inf", "-inf,1", "2,1", "1,1", "-1,1", "0", "0,1", "-0.0,1"),
                *("1,two", "1,", ",", "1;2", "1e999"),
            )
        ),
        *(
            (
                {**ON, f"{OURS}RUNBOOK_URL": value},
                f"OTEL_PYTHON_CELERY_RUNBOOK_URL={value!r} is not allowed: it must be a URL that begins with http:// or https://",
            )
            for value in (
                "javascript:alert(1)",
                "javascript://h/%0aalert(1)",
                "data:text/html,x",
                "RUNBOOK.md",
                "https://",
            )
        ),
        (
            {**ON, f"{OURS}TLS_CERT_FILE": "/c.pem"},
            (
                "OTEL_PYTHON_CELERY_TLS_KEY_FILE='' is not allowed: "
                "it must be set when OTEL_PYTHON_CELERY_TLS_CERT_FILE is"
            ),
        ),
        (
            {**ON, f"{OURS}TLS_KEY_FILE": "/k.pem"},
            (
                "OTEL_PYTHON_CELERY_TLS_CERT_FILE='' is not allowed: "
                "it must be set when OTEL_PYTHON_CELERY_TLS_KEY_FILE is"
            ),
        ),
        (
            {**ON, f"{OURS}TLS_CLIENT_CA_FILE": "/ca.pem"},
            (
                "OTEL_PYTHON_CELERY_TLS_CERT_FILE='' is not allowed: "
                "it must be set when OTEL_PYTHON_CELERY_TLS_CLIENT_CA_FILE is"
            ),
        ),
    ],
)
def test_a_value_that_is_not_allowed_is_one_sentence(environ: dict[str, str], sentence: str) -> None:
    """The sentence names the variable, its value, and what is allowed."""
    with pytest.raises(SettingsError) as caught:
        read(environ)
    assert str(caught.value) == sentence
    assert sentence.startswith(f"{caught.value.variable}=")


@pytest.mark.parametrize("value", ["[^" * 300, ",".join(["a"] * 1_001)])
def test_patterns_are_bounded(value: str) -> None:
    """Reading one takes the square of its length: 100 000 characters held a worker's start up for two minutes."""
    with pytest.raises(SettingsError, match=r"TASKS_ALLOW=.* at most 1000 patterns as of fnmatch, .* 500 characters$"):
        read({"PROMETHEUS_ENABLED": "true", f"{OURS}TASKS_ALLOW": value})


def test_a_number_of_any_length_is_one_sentence() -> None:
    """A value of five thousand digits is out of range like any other, unless they are zeros before the number."""
    with pytest.raises(SettingsError):
        read({**ON, "PROMETHEUS_PORT": "9" * 5_000})
    assert port(PROMETHEUS_PORT="0" * 5_000 + "9101").number == 9101
    assert read({"OTEL_EXPORTER_OTLP_TIMEOUT": "0" * 5_000 + "9", "OTEL_METRICS_EXPORTER": "otlp"}).warnings


def test_too_many_buckets_are_one_sentence() -> None:
    """The quoted value is cut."""
    with pytest.raises(SettingsError, match=r"BUCKETS='1,2,3,.*… is not allowed: it must be at most 60"):
        read({f"{OURS}BUCKETS": ",".join(map(str, range(1, 62)))})


def test_the_last_spans_need_not_be_waited_for() -> None:
    """The lowest value that is allowed is allowed."""
    spans = read({"OTEL_TRACES_EXPORTER": "console", f"{OURS}TRACE_FLUSH_TIMEOUT": "0"}).traces
    assert spans is not None
    assert spans.flush_seconds == 0


LINK = "tcp://10.43.0.12:9090"


@pytest.mark.parametrize("link", [LINK, "tcp://[fd00::c]:9090", "udp://10.43.0.12:53"])
def test_a_service_called_like_the_port_does_not_set_it(link: str) -> None:
    """Kubernetes puts each Service of a namespace into every pod's environment; the next source of the port counts."""
    assert port(PROMETHEUS_PORT=link).number == 9464
    assert port(PROMETHEUS_PORT=link, OTEL_EXPORTER_PROMETHEUS_PORT="9200").number == 9200
    assert port(PROMETHEUS_PORT="9101", OTEL_EXPORTER_PROMETHEUS_PORT=link).number == 9101
    (warning,) = read({**ON, "PROMETHEUS_PORT": link}).warnings
    assert warning.startswith(
        f"PROMETHEUS_PORT={link!r} is Kubernetes's, about the Service prometheus, and was ignored"
    )


@pytest.mark.parametrize("value", ["tcp://", "tcp://10.43.0.12", "http://10.43.0.12:9090", "tcp://10.43.0.12:9090/x"])
def test_what_only_resembles_a_services_address_is_refused(value: str) -> None:
    """A mistake stays a mistake."""
    with pytest.raises(SettingsError):
        port(PROMETHEUS_PORT=value)


@pytest.mark.parametrize("service", ["prometheus", "otel-exporter-prometheus", "otel-python-celery"])
def test_all_that_kubernetes_says_of_a_service_is_ignored(service: str) -> None:
    """Whatever Service of the namespace is called like the beginning of our variables."""
    name = service.upper().replace("-", "_")
    environ = {
        f"{name}_SERVICE_HOST": "10.43.0.12",
        f"{name}_SERVICE_PORT": "9090",
        f"{name}_SERVICE_PORT_WEB": "9090",
        f"{name}_PORT": LINK,
        f"{name}_PORT_9090_TCP": LINK,
        f"{name}_PORT_9090_TCP_PROTO": "tcp",
        f"{name}_PORT_9090_TCP_PORT": "9090",
        f"{name}_PORT_9090_TCP_ADDR": "10.43.0.12",
    }
    found = read({**ON, **environ})
    assert found.port == Port()
    assert len(found.warnings) == (service != "otel-python-celery")  # that one has no variable that we read


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "127.1", "fe80::1%eth0", "db_1.example.com.", "büro.example.com", "xn--bro-hoa.example.com", "0"],  # noqa: S104  values
)
def test_a_host_is_an_address_or_a_name(host: str) -> None:
    """As it can be looked up."""
    assert port(OTEL_EXPORTER_PROMETHEUS_HOST=host).host == host


@pytest.mark.parametrize(
    "host",
    [
        *(
            "a..b",
            ".a",
            "x" * 64,
            "a." * 200,
            "http://x",
            "[::1]",
            "*",
            "a b",
            "127.0.0.1:9101",
            "fe80::1%",
            "1.2.3.4%x",
        ),
        *("\udcff", "x\0y", "a\nb", "\u2024"),
    ],
)
def test_what_cannot_be_a_host_is_one_sentence(host: str) -> None:
    """IDNA's exceptions among them."""
    with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_PROMETHEUS_HOST=.* an address, or the name, of a host$"):
        port(OTEL_EXPORTER_PROMETHEUS_HOST=host)


@pytest.mark.parametrize("name", ["TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE", "CREDENTIALS_FILE"])
def test_a_pipe_is_refused_and_not_waited_for(name: str, file: str, tmp_path: Path) -> None:
    """Nobody writes to it: to open it would take for ever."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    given = dict.fromkeys((f"{OURS}TLS_CERT_FILE", f"{OURS}TLS_KEY_FILE"), file)
    with pytest.raises(SettingsError, match="a pipe or a device, not a file"):
        read({**ON, **given, f"{OURS}{name}": str(fifo)})


@pytest.mark.parametrize("name", ["CREDENTIALS_FILE", "TLS_KEY_FILE"])
def test_a_secret_that_everybody_may_read_is_a_warning(name: str, file: str, tmp_path: Path) -> None:
    """The worker runs on; what the group may read is the operator's choice."""
    pair = dict.fromkeys((f"{OURS}TLS_CERT_FILE", f"{OURS}TLS_KEY_FILE"), file) if "TLS" in name else {}
    secret = tmp_path / "secret"
    secret.write_text("user:password")
    Path(file).chmod(0o640)
    environ = {**ON, **pair, f"{OURS}{name}": str(secret)}
    secret.chmod(0o640)
    assert read(environ).warnings == ()
    secret.chmod(0o644)
    (warning,) = read(environ).warnings
    assert warning.startswith(f"{secret} holds secrets, and every user of this machine may read it")


@pytest.mark.parametrize(
    "line",
    ["u:$apr1$x$y", "u:$2y$05$x", "u:$1$x$y", "u:$5$x$y", "u:$6$x$y", "u:{SHA}x=", "u:{SSHA}x", "u:$argon2id$v=19$x"],
)
def test_a_hashed_password_is_refused_with_a_sentence(line: str, tmp_path: Path) -> None:
    """It says which line, and nothing of what stands there."""
    secret = tmp_path / "secret"
    secret.write_text(f"# u:$apr1$x$y\nme:$ecret\n{line}\n")
    with pytest.raises(SettingsError) as caught:
        read({**ON, f"{OURS}CREDENTIALS_FILE": str(secret)})
    assert "line 3 holds a hash, as htpasswd makes them: write the password itself" in str(caught.value)
    assert line.partition(":")[2] not in str(caught.value)


@pytest.mark.parametrize("name", ["OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER", "OTEL_PYTHON_ID_GENERATOR"])
@pytest.mark.parametrize("value", ["a b", "http://user:hidden@h", "x" * 101, "a\nb", "\udcff"])
def test_what_cannot_be_the_name_of_an_entry_point_is_refused(name: str, value: str) -> None:
    """What is said of a missing exporter stays a sentence."""
    with pytest.raises(SettingsError) as caught:
        read({"OTEL_TRACES_EXPORTER": "console", name: value})
    assert str(caught.value).startswith(f"{name}=")
    assert "hidden" not in str(caught.value)


def test_unknown_variables_are_not_named_without_end() -> None:
    """Ten are, whatever their names look like, and the others are counted."""
    warnings = read({f"{OURS}{number:04}\n{'x' * 10_000}": "1" for number in range(1000)}).warnings
    assert len(warnings) == 11
    assert all(len(warning) <= 300 and warning.isprintable() for warning in warnings)
    assert warnings[-1].startswith("990 more variables ")


def test_buckets_are_floats_in_the_order_given() -> None:
    """OTEL_PYTHON_CELERY_BUCKETS replaces the default bounds, and an integer there becomes a float."""
    buckets = read({f"{OURS}BUCKETS": "0.1, 1,2e1"}).buckets
    assert buckets == (0.1, 1.0, 20.0)
    assert all(isinstance(bound, float) for bound in buckets)


def test_sixty_buckets_are_allowed() -> None:
    """The most bounds that there may be are taken."""
    assert len(read({f"{OURS}BUCKETS": ",".join(map(str, range(1, 61)))}).buckets) == 60


def test_bounds_are_read() -> None:
    """Each bound has its variable, and patterns are a list."""
    environ = {
        f"{OURS}MAX_TASK_NAMES": "7",
        f"{OURS}MAX_EXCEPTIONS": "8",
        f"{OURS}LABEL_LENGTH": "9",
        f"{OURS}TASKS_ALLOW": "proj.*, other.task ,",
        f"{OURS}TASKS_DENY": "*.debug",
    }
    assert read(environ).bounds == Bounds(7, 8, 9, ("proj.*", "other.task"), ("*.debug",))


def test_tls_and_credentials_are_files(file: str) -> None:
    """The port's files arrive as paths; a client CA asks for mutual TLS."""
    pair = {f"{OURS}TLS_CERT_FILE": file, f"{OURS}TLS_KEY_FILE": file}
    assert port(**pair).tls == TLS(Path(file), Path(file), None)
    assert port(**pair, **{f"{OURS}TLS_CLIENT_CA_FILE": file}).tls == TLS(Path(file), Path(file), Path(file))
    assert port(**{f"{OURS}CREDENTIALS_FILE": file}).credentials == Path(file)


def test_the_runbook_is_a_link() -> None:
    """It is there where it is named."""
    address = "https://git.example/our/RUNBOOK.md?plain=1#index"
    assert port(**{f"{OURS}RUNBOOK_URL": address}).runbook == address
    assert not port().runbook


def test_files_are_not_looked_at_where_no_port_is_served() -> None:
    """Settings of the port do not matter to a worker that has none."""
    assert read({f"{OURS}TLS_CERT_FILE": "/not/there", "OTEL_METRICS_EXPORTER": "otlp"}).port is None


@pytest.mark.parametrize("name", ["TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE", "CREDENTIALS_FILE"])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/not/there", "No such file or directory"),
        ("{folder}", "Is a directory"),
        ("{file}/x", "Not a directory"),
        ("/a\0b", "a path has no NUL in it"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(name: str, path: str, reason: str, file: str) -> None:
    """The sentence says why the file cannot be read."""
    value = path.format(folder=Path(file).parent, file=file)
    given = dict.fromkeys((f"{OURS}TLS_CERT_FILE", f"{OURS}TLS_KEY_FILE"), file)
    with pytest.raises(SettingsError) as caught:
        read({**ON, **given, f"{OURS}{name}": value})
    allowed = f"a file that this process can read ({reason})"
    assert str(caught.value) == f"{OURS}{name}={value!r} is not allowed: it must be {allowed}"


@pytest.mark.parametrize("secret", ["prometheus:hidden", "hidden", "-----BEGIN PRIVATE KEY-----\nhidden", "eyJ.hidden"])
@pytest.mark.parametrize("name", ["TLS_KEY_FILE", "CREDENTIALS_FILE"])
def test_a_secret_in_the_place_of_its_file_is_not_shown(name: str, secret: str, file: str) -> None:
    """Whoever takes the variable for the secret's own has it in the log otherwise."""
    with pytest.raises(SettingsError, match=rf"^{OURS}{name}='\*\*\*' is not allowed: it must be a file"):
        read({**ON, f"{OURS}TLS_CERT_FILE": file, f"{OURS}TLS_KEY_FILE": file, f"{OURS}{name}": secret})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_one_sentence(file: str) -> None:
    """A file that only somebody else may read is refused at once, not when the port opens."""
    Path(file).chmod(0)
    with pytest.raises(SettingsError, match="Permission denied"):
        read({**ON, f"{OURS}CREDENTIALS_FILE": file})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("OTEL_PYTHON_CELERY_BUCKET", "; did you mean OTEL_PYTHON_CELERY_BUCKETS?"),
        ("OTEL_PYTHON_CELERY_MAX_TASKNAMES", "; did you mean OTEL_PYTHON_CELERY_MAX_TASK_NAMES?"),
        ("OTEL_PYTHON_CELERY_STRIKT", "; did you mean OTEL_PYTHON_CELERY_STRICT?"),
        ("OTEL_PYTHON_CELERY_POOL_TRADING", ""),
    ],
)
def test_an_unknown_variable_is_a_warning_with_the_nearest_name(name: str, hint: str) -> None:
    """What looks like ours and is not is said, and ignored."""
    (warning,) = read({name: "1"}).warnings
    assert warning.startswith(f"{name} is not a setting of otel-celery and was ignored")
    assert warning.endswith(hint or "")


def test_a_name_that_resembles_nothing_has_no_hint() -> None:
    """A hint that would mislead is left out."""
    name = f"{OURS}QWXZ_QWXZ_QWXZ_QWXZ_QWXZ_QWXZ_QWXZ"
    assert read({name: "1"}).warnings == (f"{name} is not a setting of otel-celery and was ignored",)


def test_warnings_come_in_the_order_of_the_names() -> None:
    """Two mistakes are two sentences."""
    warnings = read({f"{OURS}ZEBRA": "1", f"{OURS}APPLE": "1"}).warnings
    assert [warning.split()[0] for warning in warnings] == [f"{OURS}APPLE", f"{OURS}ZEBRA"]


def test_other_peoples_variables_are_no_concern_of_ours() -> None:
    """Standard names, a pool's port and every name of ours pass without a warning."""
    environ = {"OTEL_SERVICE_NAME": "x", "OTEL_PYTHON_LOG_LEVEL": "x", f"{OURS}POOL_TRADING_PORT": "9101"}
    ours = {f"{OURS}BUCKETS": "1", f"{OURS}TASKS_ALLOW": "a", f"{OURS}TASKS_DENY": "b", f"{OURS}STRICT": "false"}
    assert read({**environ, **ours, f"{OURS}MAX_TASK_NAMES": "1", f"{OURS}MAX_EXCEPTIONS": "1"}).warnings == ()
    files = ("LABEL_LENGTH", "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE", "CREDENTIALS_FILE")
    assert read({f"{OURS}{name}": "100" for name in files}).warnings == ()


def test_a_pools_port_needs_a_pools_name() -> None:
    """OTEL_PYTHON_CELERY_POOL_PORT is a mistake, and said."""
    assert read({f"{OURS}POOL_PORT": "9101"}).warnings


@pytest.mark.parametrize(
    ("value", "strict"), [("true", True), (" TRUE ", True), ("false", False), ("", False), ("yes", False)]
)
def test_strict_can_be_told_of_an_environment_that_cannot_be_read(value: str, strict: bool) -> None:  # noqa: FBT001
    """Whether a mistake ends the worker is known whatever the mistake is."""
    assert is_strict({f"{OURS}STRICT": value, "PROMETHEUS_ENABLED": "maybe"}) is strict
    assert not is_strict({})


def test_strict_is_a_setting_like_any_other() -> None:
    """OTEL_PYTHON_CELERY_STRICT=true arrives."""
    assert read({f"{OURS}STRICT": "true"}).strict
