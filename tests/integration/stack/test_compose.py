"""The compose files, read by Compose itself: what is started, from which images, and who can reach it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import services as real
from tests.integration.stack.compose_services import POSTGRES
from tests.integration.stack.composition import DESKTOP, LINUX, PROFILES, compose, services
from tests.integration.stack.markdown import GUIDE
from tests.integration.stack.servers import MONITORING, debian

if TYPE_CHECKING:
    from tests.integration.stack.composition import Service

FILES = pytest.mark.parametrize("file", [LINUX, DESKTOP])
ALWAYS = {"prometheus", "alertmanager", "grafana", "queue-exporter", "redis-exporter", "postgres-exporter"}
PORTS = {
    "prometheus": {9090},
    "alertmanager": {9093},
    "grafana": {3001},
    "queue-exporter": {9106},
    "redis-exporter": {9121},
    "postgres-exporter": {9187},
    "redis": {6379},
    "postgres": {5432},
    "collector": {4317, 4318, 8888, 8889},
    "victoria-metrics": {8428},
}
ONLY_ON_DESKTOP = {
    "redis": {"--protected-mode", "no"},
    "collector": {
        "OTELCOL_GRPC=HOST:4317",
        "OTELCOL_HTTP=HOST:4318",
        "OTELCOL_PROMETHEUS=HOST:8889",
        "OTELCOL_TELEMETRY_HOST=HOST",
    },
}
"""What makes a server that listens on loopback by itself listen to its container's port."""

PARTS = {
    "Prometheus": "prometheus",
    "Alertmanager": "alertmanager",
    "Grafana": "grafana",
    "Queue exporter": "queue-exporter",
    "Redis exporter": "redis-exporter",
    "PostgreSQL exporter": "postgres-exporter",
    "Redis": "redis",
    "PostgreSQL": "postgres",
    "Collector": "collector",
    "VictoriaMetrics": "victoria-metrics",
}
"""What the guide calls each service."""

RUN = [
    ("Prometheus", "prometheus", "prometheus"),
    ("Alertmanager", "prometheus-alertmanager", "prometheus-alertmanager"),
    ("Redis exporter", "prometheus-redis-exporter", "prometheus-redis-exporter"),
    ("PostgreSQL exporter", "prometheus-postgres-exporter", "prometheus-postgres-exporter"),
    ("Redis", "redis-server", "redis-server"),
    ("PostgreSQL", str(POSTGRES / "postgres"), "postgresql"),
    ("Collector", "otelcol-celery", ""),
    ("nginx", "nginx", "nginx"),
]
"""Programs, and the Debian package of each, if it is one's; Debian's VictoriaMetrics does not say its version."""

VERSIONS = re.findall(
    r"^\| ([\w ]+) \| ([\d.]*) ?\| (.*) \|$", GUIDE.partition("## How this was checked")[2], re.MULTILINE
)

EXAMPLE = re.compile(r"^#([A-Z_]+)=(.*)$", re.MULTILINE)


def started(file: str, *profiles: str) -> set[str]:
    """Name what Compose starts with these profiles."""
    words = [word for profile in profiles for word in ("--profile", profile)]
    return set(compose(*words, "config", "--services", file=file).split())


@FILES
@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_compose_takes_the_file(file: str, profile: str | None) -> None:
    """With no profile, and with each; nothing is unknown to it, and no variable is missing."""
    words = ["--profile", profile] if profile else []
    assert compose(*words, "config", "--quiet", file=file) == ""


def test_compose_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    """Else the test above would say nothing."""
    file = tmp_path / "compose.yml"
    file.write_text("services:\n  x:\n    image: x:1.0\n    restrat: always\n")
    with pytest.raises(AssertionError, match="restrat"):
        compose("config", "--quiet", file=str(file))


@FILES
def test_profiles_are_off_by_default(file: str) -> None:
    """What is documented starts; the rest does when it is asked for, each by its own profile."""
    assert started(file) == ALWAYS
    assert {profile: started(file, profile) - ALWAYS for profile in PROFILES} == {
        "redis": {"redis"},
        "postgres": {"postgres"},
        "collector": {"collector"},
        "long-term": {"victoria-metrics"},
    }


@FILES
def test_everything_that_is_mounted_exists(file: str) -> None:
    """Docker would make a directory in the place of a missing file, and the service would not start."""
    mounted = {path for service in services(file).values() for path in service.files.values()}
    assert len(mounted) > 8
    assert not [str(path) for path in mounted if not path.exists()]


@FILES
def test_images_are_pinned(file: str) -> None:
    """To a version of three numbers or two, never to what is newest today."""
    for service in services(file).values():
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-alpine)?$", service.image), service.image


def test_prometheus_is_the_version_whose_checker_the_tests_have() -> None:
    """The image's tag is the version of the promtool that is built for the tests."""
    said = subprocess.run([real.built("promtool"), "--version"], check=True, capture_output=True, text=True).stdout
    version = services()["prometheus"].image.rpartition(":v")[2]
    module = (Path(__file__).parents[2] / "go" / "prometheus" / "go.mod").read_text()
    major, minor, patch = version.split(".")
    assert f"github.com/prometheus/prometheus v0.{major}{int(minor):02}.{patch}" in module
    assert said.startswith("promtool, version")


def test_the_guide_says_what_is_pinned() -> None:
    """Its table of versions has the version of each image, and names no other part but nginx, which is yours."""
    pinned = {part: re.sub("-alpine$", "", services()[name].image.rpartition(":")[2]) for part, name in PARTS.items()}
    assert services().keys() == set(PARTS.values())
    assert {row[0]: row[1] for row in VERSIONS} == {**{k: v.removeprefix("v") for k, v in pinned.items()}, "nginx": ""}


@pytest.mark.parametrize(("part", "program", "package"), RUN)
def test_the_guide_says_what_is_run(part: str, program: str, package: str) -> None:
    """Each program that tells its version has the one in the table."""
    found = real.built(program) if package == "" else debian(program, package)
    done = subprocess.run([found, "-v" if part == "nginx" else "--version"], check=True, capture_output=True, text=True)
    version = re.search(r"\d+\.[\d.]+", done.stdout + done.stderr)
    (claimed,) = (row[2] for row in VERSIONS if row[0] == part)
    assert version
    assert any(version[0].startswith(one) for one in re.findall(r"\d[\d.]*", claimed))


@FILES
def test_every_service_is_hardened(file: str) -> None:
    """It comes back after a crash, cannot change its file system, and cannot gain a privilege."""
    for name, service in services(file).items():
        values = service.values
        assert values["restart"] == "unless-stopped", name
        assert values["read_only"] is True, name
        assert values["security_opt"] == ["no-new-privileges:true"], name
        assert values["cap_drop"] == ["ALL"], name
        assert values["logging"]["options"] == {"max-file": "3", "max-size": "10m"}, name


@FILES
def test_every_service_has_a_health_check(file: str) -> None:
    """But the Collector, whose image holds nothing that could ask."""
    assert {name for name, service in services(file).items() if not service.check} == {"collector"}


def test_on_linux_everything_listens_on_loopback_in_the_hosts_network() -> None:
    """Nothing is published, and no address is another one's; the Collector's own defaults are loopback as well."""
    for name, service in services().items():
        assert service.values["network_mode"] == "host", name
        assert "ports" not in service.values, name
        said = " ".join([*service.command, *map("=".join, service.environment.items())])
        assert "0.0.0.0" not in said, name  # noqa: S104  what is looked for
        if name != "collector":
            assert "127.0.0.1" in said, name


def test_on_docker_desktop_ports_are_published_on_loopback_alone() -> None:
    """The documented ones, each under its own number."""
    for name, service in services(DESKTOP).items():
        assert "network_mode" not in service.values, name
        ports = service.values["ports"]
        assert {port["host_ip"] for port in ports} == {"127.0.0.1"}, name
        assert {port["target"] for port in ports} == {int(port["published"]) for port in ports} == PORTS[name]


def masked(service: Service) -> set[str]:
    """Give a service's arguments and environment with every host masked."""
    said = [*service.command, *map("=".join, service.environment.items())]
    return {re.sub(r"127\.0\.0\.1|0\.0\.0\.0|host\.docker\.internal|(?<==)\*$", "HOST", word) for word in said}


def test_docker_desktop_has_the_same_stack() -> None:
    """Image, profile, health check, volumes, arguments and environment: hosts differ, and what listening asks for."""
    linux, desktop = services(), services(DESKTOP)
    assert linux.keys() == desktop.keys()
    for name, service in linux.items():
        other = desktop[name]
        assert (other.image, other.check) == (service.image, service.check)
        assert other.values.get("profiles") == service.values.get("profiles")
        assert {mount["target"] for mount in other.mounts} == {mount["target"] for mount in service.mounts}
        assert masked(other) - masked(service) == ONLY_ON_DESKTOP.get(name, set())
        assert masked(service) <= masked(other)


def test_docker_desktop_reads_its_own_prometheus_yml() -> None:
    """Mounted under the same name."""
    assert services(DESKTOP)["prometheus"].files["/etc/prometheus/prometheus.yml"].name == "prometheus.desktop.yml"
    assert services()["prometheus"].files["/etc/prometheus/prometheus.yml"].name == "prometheus.yml"


def test_prometheus_keeps_15_days_and_takes_no_orders() -> None:
    """As documented; whoever reaches the port may read, and no more."""
    command = services()["prometheus"].command
    assert "--storage.tsdb.retention.time=15d" in command
    assert not [word for word in command if "lifecycle" in word or "admin-api" in word or "remote-write" in word]
    assert {"type": "volume", "source": "prometheus-data", "target": "/prometheus", "volume": {}} in list(
        services()["prometheus"].mounts
    )


def test_grafana_is_private_and_silent() -> None:
    """No anonymous access, and nothing that it would ask of the world by itself."""
    settings = services()["grafana"].environment
    off = {name for name, value in settings.items() if value == "false" and name.startswith("GF_")}
    assert off == {
        "GF_AUTH_ANONYMOUS_ENABLED",
        "GF_USERS_ALLOW_SIGN_UP",
        "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
        "GF_ANALYTICS_FEEDBACK_LINKS_ENABLED",
        "GF_NEWS_NEWS_FEED_ENABLED",
        "GF_PLUGINS_PREINSTALL_AUTO_UPDATE",
        "GF_SNAPSHOTS_EXTERNAL_ENABLED",
    }
    assert settings["GF_PLUGINS_PREINSTALL_DISABLED"] == settings["GF_SECURITY_DISABLE_GRAVATAR"] == "true"


def test_without_an_environment_the_documented_defaults_hold() -> None:
    """admin/admin on port 3001, Redis and PostgreSQL where they usually are."""
    grafana, redis, postgres = (services()[name].environment for name in ("grafana", "redis-exporter", "postgres"))
    assert (grafana["GF_SECURITY_ADMIN_USER"], grafana["GF_SECURITY_ADMIN_PASSWORD"]) == ("admin", "admin")
    assert grafana["GF_SERVER_HTTP_PORT"] == "3001"
    assert redis["REDIS_ADDR"] == "redis://127.0.0.1:6379/0"
    assert postgres["POSTGRES_PASSWORD"] == "postgres"


@FILES
def test_the_example_of_an_environment_names_what_the_file_reads(file: str) -> None:
    """Each variable, and on Linux its default; Compose reads the last one itself."""
    text = (MONITORING / ".env.example").read_text()
    offered = dict(EXAMPLE.findall(text))
    read = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", (MONITORING / LINUX).read_text()))
    assert offered.keys() - {"COMPOSE_PROFILES"} == read.keys()
    assert set(offered["COMPOSE_PROFILES"].split(",")) <= set(PROFILES)
    assert {name: value for name, value in offered.items() if name in read and value != read[name]} == {
        "PROMETHEUS_BASIC_AUTH": "true"
    }
    everything = tuple((name, f"set-{name}" if value != "true" else value) for name, value in offered.items())
    changed = services(file, tuple(one for one in everything if one[0] != "COMPOSE_PROFILES"))
    said = " ".join(" ".join([*one.command, *one.environment.values()]) for one in changed.values())
    assert not [name for name in read if name != "PROMETHEUS_BASIC_AUTH" and f"set-{name}" not in said]


def test_secrets_and_targets_of_ones_own_are_not_committed() -> None:
    """Both directories are mounted, and keep what is put there to themselves."""
    for directory in ("secrets", "targets"):
        assert (MONITORING / directory / ".gitignore").read_text().splitlines()[1] == "*"
