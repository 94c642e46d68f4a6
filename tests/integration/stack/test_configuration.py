"""The committed files: each passes its own checker, says what it should, and is changed for a test in one way only."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from otel_celery import catalogue
from otel_celery.catalogue import BUCKETS, Kind
from otel_celery.lifecycle import Exit, Limit, Outcome, Revocation, Unknown
from otel_celery.pools import plan
from otel_celery.settings.settings import Bounds
from tests import services
from tests.integration.stack import composition
from tests.integration.stack.expressions import BOARDS
from tests.integration.stack.markdown import COMMANDS, LOOKS
from tests.integration.stack.options import PLACEHOLDER, offered, switched_on
from tests.integration.stack.servers import MONITORING, PORT, FreePorts, debian, htpasswd, repointed

if TYPE_CHECKING:
    from pathlib import Path

LINUX, DESKTOP = "prometheus.yml", "prometheus.desktop.yml"
ADDRESSED = sorted(
    file.relative_to(MONITORING).as_posix()
    for pattern in ("*.yml", "nginx/*.conf", "discovery/*.yml", "grafana/**/*.yml")
    for file in MONITORING.glob(pattern)
    if not file.name.startswith("docker-compose")
)
COLLECTOR = "../../collector/agent.yaml"
CLOSED = {"status": len(Outcome) - 1, "limit": len(Limit), "exception": Bounds().exceptions + 1}
REASONS = max(len(Revocation), len(Unknown), len(Exit))
QUEUES = 100
"""More than a worker of ours ever consumed."""


def committed(name: str) -> str:
    """Read a file as it is committed."""
    return (MONITORING / name).read_text()


def parsed(text: str) -> dict[str, Any]:
    """Parse a configuration file."""
    value: dict[str, Any] = yaml.safe_load(text)
    return value


def job(name: str, text: str | None = None) -> dict[str, Any]:
    """Find a scrape configuration."""
    found: dict[str, Any] = next(
        one for one in parsed(text or committed(LINUX))["scrape_configs"] if one["job_name"] == name
    )
    return found


def promtool(version: str, *arguments: str) -> str:
    """Call Prometheus's checker of one version."""
    program = services.promtool() if version == "2.42" else services.built("promtool")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("file", [LINUX, DESKTOP])
def test_prometheus_takes_its_configuration(version: str, monitoring: Path, file: str) -> None:
    """Both versions' own checkers do, rule files included."""
    said = promtool(version, "check", "config", str(monitoring / file))
    assert "SUCCESS: 3 rule files found" in said


@pytest.mark.parametrize("option", offered(committed(LINUX)))
def test_prometheus_takes_each_option(version: str, monitoring: Path, option: str) -> None:
    """With the comment's sign taken away, as the file says."""
    file = monitoring / LINUX
    before = file.read_text()
    file.write_text(switched_on(before, option))
    if option == "basic auth":
        (monitoring / "secrets" / "prometheus-password").write_text("x")
    promtool(version, "check", "config", str(file))
    assert parsed(file.read_text()) != parsed(before)


def test_the_options_are_named_where_they_begin() -> None:
    """The head of the file lists them, so that nobody has to look for them."""
    head = committed(LINUX).partition("global:")[0]
    assert offered(committed(LINUX)) == ["beat", "basic auth", "the Collector", "long-term storage"]
    assert all(f"#   {option} " in head for option in offered(committed(LINUX)))


def test_prometheus_takes_its_web_configuration(version: str) -> None:
    """As it is committed, which asks nobody for anything."""
    promtool(version, "check", "web-config", str(MONITORING / "web-config.yml"))
    assert parsed(committed("web-config.yml")) is None


def test_prometheus_takes_basic_auth_with_a_hash_of_ones_own(version: str, tmp_path: Path) -> None:
    """The hash that stands there is refused, so that nobody runs with a password that all the world knows."""
    file = tmp_path / "web-config.yml"
    file.write_text(switched_on(committed("web-config.yml"), "basic auth"))
    with pytest.raises(AssertionError, match=r"REPLACE|bcrypt"):
        promtool(version, "check", "web-config", str(file))
    file.write_text(file.read_text().replace(PLACEHOLDER, htpasswd("prometheus", "secret").partition(":")[2]))
    promtool(version, "check", "web-config", str(file))


def test_prometheus_takes_each_example_of_discovery() -> None:
    """As a whole configuration; each keeps the name of the job that alerts and dashboards look for."""
    for file in (MONITORING / "discovery").glob("*.yml"):
        promtool("3.13", "check", "config", str(file))
        assert job("celery", file.read_text())


def test_prometheus_takes_the_labels_for_celery_exporter(version: str, tmp_path: Path) -> None:
    """In the job celery, with the rules that go with them."""
    config = parsed(committed(LINUX))
    config["scrape_configs"][0] |= parsed(committed("relabel-celery-exporter.yml"))
    config["rule_files"] = [str(MONITORING / "rules-celery-exporter.yml")]
    (tmp_path / LINUX).write_text(yaml.safe_dump(config))
    assert "11 rules found" in promtool(version, "check", "config", str(tmp_path / LINUX))


def test_alertmanager_takes_its_configuration() -> None:
    """Its own checker does."""
    amtool = debian("amtool", "prometheus-alertmanager")
    command = [amtool, "check-config", str(MONITORING / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 receivers" in done.stdout


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "pager"), ("warning", "team"), ("info", "team")])
def test_alertmanager_pages_for_what_is_critical_only(severity: str, receiver: str) -> None:
    """Everything else waits for the team."""
    amtool = debian("amtool", "prometheus-alertmanager")
    file = f"--config.file={MONITORING / 'alertmanager.yml'}"
    command = [amtool, "config", "routes", "test", file, f"--verify.receivers={receiver}", f"severity={severity}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def masked(text: str) -> str:
    """Hide addresses, and ports that stand apart."""
    return re.sub(
        r"(localhost|127\.0\.0\.1|host\.docker\.internal|\*|--port|-p|\bport|_PORT)([ :=]|:-)\d+", "PORT", text
    )


@pytest.mark.parametrize("file", [*ADDRESSED, COLLECTOR])
def test_only_addresses_differ_in_what_a_test_runs(file: str) -> None:
    """What is replaced is a host and a port; with those masked, the text is that of the committed file."""
    text = committed(file)
    ports = FreePorts()
    changed = repointed(text, ports)
    assert masked(changed) == masked(text)
    assert {int(match["port"]) for match in PORT.finditer(changed)} == set(ports.values())
    assert len(PORT.findall(changed)) == len(PORT.findall(text))


def test_only_ports_differ_in_a_command_that_a_test_runs() -> None:
    """Compose's commands and checks, and the pages': with the ports masked each is as it was, and none is left."""
    words = [words for service in composition.services().values() for words in (service.command, service.check)]
    for line in (*map(shlex.join, words), *COMMANDS, *LOOKS):
        changed = repointed(line, FreePorts())
        assert masked(changed) == masked(line)
        assert not re.search(r"(?<![\w.])\d{4}(?![\w.])", changed), changed  # a free one has five digits


def test_what_is_no_address_stays() -> None:
    """Names that only look like one, times, and hosts of others are left alone."""
    text = "web1:9101 host1@localhost 10.0.0.1:9090 my-localhost:9101 mylocalhost:9101 image:v3.13.0 localhost:9101a"
    assert repointed(text, FreePorts()) == text


def test_every_address_gets_its_own_port() -> None:
    """The same one each time, whatever the host is called."""
    ports = FreePorts()
    text = repointed("localhost:9101 127.0.0.1:9101 host.docker.internal:9102 *:443", ports)
    assert text == f"127.0.0.1:{ports[9101]} 127.0.0.1:{ports[9101]} 127.0.0.1:{ports[9102]} 127.0.0.1:{ports[443]}"
    assert len(set(ports.values())) == 3


def test_docker_desktop_has_the_same_configuration() -> None:
    """Its file is the other one, with the host's name there for localhost."""
    assert committed(DESKTOP) == committed(LINUX).replace("localhost:", "host.docker.internal:")


def test_the_static_targets_are_the_documented_pools() -> None:
    """Each with its pool's name, under a label that no metric of ours has."""
    groups = job("celery")["static_configs"]
    pools = {group["labels"]["pool"]: group["targets"] for group in groups}
    assert pools == {pool.name: [f"localhost:{pool.port}"] for pool in plan.read(plan.EXAMPLE)}
    assert all(set(group["labels"]) == {"pool"} for group in groups)
    assert not any("pool" in metric.attributes for metric in catalogue.METRICS)


def test_the_jobs_and_files_have_the_documented_names() -> None:
    """What alerts, dashboards and the guide refer to."""
    config = parsed(committed(LINUX))
    targets = {one["job_name"]: one["static_configs"][0]["targets"][0] for one in config["scrape_configs"][1:]}
    assert config["rule_files"] == ["alerts.yml", "rules.yml", "expectations.yml"]
    assert config["alerting"] == {"alertmanagers": [{"static_configs": [{"targets": ["localhost:9093"]}]}]}
    assert targets == {
        "celery-queues": "localhost:9106",
        "redis": "localhost:9121",
        "postgres": "localhost:9187",
        "prometheus": "localhost:9090",
        "alertmanager": "localhost:9093",
    }


def samples(metric: catalogue.Metric, tasks: int) -> int:
    """Count the samples of one metric when every bound is reached, each task on one queue."""
    number = len(BUCKETS) + 3 if metric.kind is Kind.HISTOGRAM else 1
    for label in metric.attributes:
        if label == "task_name":
            number *= tasks
        elif label == "queue":
            number *= 1 if "task_name" in metric.attributes else QUEUES
        else:
            number *= CLOSED.get(label, REASONS if label == "reason" else 1)
    return number


def test_no_worker_within_its_bounds_hits_the_limit_of_samples() -> None:
    """Computed from the catalogue; a limit that is far above is none."""
    greatest = sum(samples(metric, Bounds().task_names + 1) for metric in catalogue.METRICS)
    assert greatest < job("celery")["sample_limit"] < 2 * greatest
    stated = re.search(r"has (\d+) 000: the rest is yours", committed(LINUX))
    assert stated is not None
    assert abs(greatest - 1000 * int(stated[1])) < 1000, f"prometheus.yml names another number than {greatest}"


def test_no_label_of_ours_hits_a_limit() -> None:
    """Names, their number, and values at the greatest length in bytes; the target adds job, instance and pool."""
    limits = job("celery")
    assert max(len(metric.attributes) for metric in catalogue.METRICS) + 1 + 3 < limits["label_limit"]
    names = [label for metric in catalogue.METRICS for label in metric.attributes]
    assert max(map(len, names)) < limits["label_name_length_limit"]
    assert Bounds().label_length * len("😀".encode()) < limits["label_value_length_limit"]


def test_a_scrape_ends_before_the_next_begins() -> None:
    """And Grafana makes its rate intervals of the same scrape interval."""
    settings = parsed(committed(LINUX))["global"]
    source = parsed(committed("grafana/provisioning/datasources/prometheus.yml"))["datasources"][0]
    assert settings["scrape_timeout"] == "10s"
    assert settings["scrape_interval"] == settings["evaluation_interval"] == source["jsonData"]["timeInterval"] == "15s"


def test_grafana_loads_its_dashboards_at_the_start() -> None:
    """From where compose mounts them; the data source has the name that a dashboard may refer to."""
    provider = parsed(committed("grafana/provisioning/dashboards/celery.yml"))["providers"][0]
    source = parsed(committed("grafana/provisioning/datasources/prometheus.yml"))["datasources"][0]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    assert (source["uid"], source["type"], source["isDefault"]) == ("prometheus", "prometheus", True)
    mounted = composition.services()["grafana"].files
    for file in BOARDS.values():
        assert mounted[f"/etc/grafana/dashboards/{file.name}"] == file
