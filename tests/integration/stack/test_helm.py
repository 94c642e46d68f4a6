"""The Helm chart: helm accepts it, published schemas accept what it makes, and its files are the committed ones."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from otel_celery.version import __version__
from tests.integration.stack import manifests, pods
from tests.integration.stack.servers import MONITORING, ROOT
from tests.services import built

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("kubernetes")

HELM = ROOT / "devops" / "helm"
CHART = HELM / "otel-celery"

PARTS = {
    "queueExporter.enabled": {"Deployment", "Service", "ServiceMonitor"},
    "queueExporter.serviceMonitor.enabled": {"ServiceMonitor"},
    "workers.podMonitor.enabled": {"PodMonitor"},
    "prometheusRules.recording.enabled": {"PrometheusRule recording"},
    "prometheusRules.alerts.enabled": {"PrometheusRule alerts"},
    "dashboard.enabled": {"ConfigMap"},
}
"""What switches a part off, and the resources that go with it."""

DASHBOARDS = (
    ("", "celery-workers.json", "grafana_dashboards.json"),
    ("-task", "celery-task.json", "celery_task.json"),
    ("-worker", "celery-worker.json", "celery_worker.json"),
)
"""What is added to a ConfigMap's name, its one key, and the file."""

LAST_APPLIED = 256 * 1024
"""Bytes of an annotation, in which `kubectl apply` keeps the whole resource."""

NAMESPACES = "workers.podMonitor.namespaces"

EVERYTHING = set.union(*PARTS.values())

ALL_VALUES: dict[str, Any] = {
    "nameOverride": "watch",
    "commonLabels": {"team": "shop"},
    "queueExporter": {
        "app": "proj",
        "queues": ["trading", "mar,ket"],
        "imagePullSecrets": [{"name": "registry"}],
        "env": [{"name": "OTEL_METRICS_EXPORTER", "value": "prometheus,otlp"}],
        "extraArgs": ['--option=global_keyprefix="shop:"'],
        "podLabels": {"tier": "watch"},
        "podAnnotations": {"note": "yes"},
        "nodeSelector": {"disk": "none"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "service": {"annotations": {"note": "yes"}},
    },
    "workers": {
        "podMonitor": {"namespaces": ["celery"], "selector": {"app": "shop"}, "poolLabel": "shop.example/pool"}
    },
    "prometheusRules": {
        "alerts": {"disabled": ["CeleryTargetsMissing"], "runbookBase": "https://git.example.org/"},
        "extraGroups": [{"name": "ours", "rules": [{"record": "pool:celery_worker_up:minimum", "expr": "vector(0)"}]}],
    },
    "dashboard": {"annotations": {"grafana_folder": "Celery"}},
}
"""A value for each that has none by default."""


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the published schemas."""
    directory = tmp_path_factory.mktemp("schemas")
    manifests.write_schemas(directory)
    return directory


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give helm a place for what it writes."""
    return tmp_path_factory.mktemp("helm")


@pytest.fixture(scope="module")
def default(home: Path) -> str:
    """Render the chart as it is."""
    return rendered(home)


def helm(home: Path, *arguments: str, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run it on the chart, with these values."""
    environ = {f"HELM_{name}_HOME": str(home) for name in ("CACHE", "CONFIG", "DATA")}
    return subprocess.run(
        [built("helm"), *arguments, str(CHART), "--values", "-"],
        input=json.dumps(values or {}), env={**os.environ, **environ},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def rendered(home: Path, values: Mapping[str, Any] | None = None) -> str:
    """Give what the chart makes of these values."""
    answer = helm(home, "template", "--namespace", "celery", "watch", values=values)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def nested(path: str, value: object) -> dict[str, Any]:
    """Write a value as deep as its name says."""
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def leaves(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Name each value that is not a group of others."""
    for key, value in values.items():
        if isinstance(value, dict) and value and not key.endswith(("abels", "selector", "resources")):
            yield from leaves(value, f"{before}{key}.")
        else:
            yield before + key


def kinds(text: str) -> set[str]:
    """Name the resources; those of a kind by what ends their name."""
    found = manifests.load(text)
    rules = {f"PrometheusRule {one['metadata']['name'].rpartition('-')[2]}" for one in found if "Rule" in one["kind"]}
    return {one["kind"] for one in found if "Rule" not in one["kind"]} | rules


def test_helm_finds_nothing(home: Path) -> None:
    """`helm lint`, with warnings taken for errors: as it is, and with every value set."""
    for values in ({}, ALL_VALUES):
        answer = helm(home, "lint", "--strict", values=values)
        assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("version", manifests.VERSIONS)
def test_kubernetes_accepts_what_it_makes(default: str, home: Path, schemas: Path, version: str) -> None:
    """By default and with every value set, each resource has a schema, and nothing that is not in it."""
    status, resources = manifests.conform(f"{default}---\n{rendered(home, ALL_VALUES)}", version, schemas)
    assert [found for found in resources if found["status"] not in {"statusValid", "statusEmpty"}] == []
    assert {found["kind"] for found in resources if found["kind"]} == {
        *("ConfigMap", "Deployment", "PodMonitor", "PrometheusRule", "Service", "ServiceMonitor")
    }
    assert status == 0


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_switched_off(default: str, home: Path, part: str) -> None:
    """It goes, and nothing else does."""
    assert kinds(default) == EVERYTHING
    assert kinds(rendered(home, nested(part, value=False))) == EVERYTHING - PARTS[part]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("queueExporter.prot", 9106),
        ("queueExporter.port", "9106"),
        ("queueExporter.queues", [""]),
        ("queueExporter.broker.secretName", ""),
        ("workers.podMonitor.selector", "celery"),
        ("prometheusRules.alerts.disabled", "CeleryTargetsMissing"),
        ("dashbord.enabled", False),
    ],
)
def test_a_wrong_value_is_refused(home: Path, path: str, value: object) -> None:
    """One that is misspelt, of the wrong kind, or leaves nothing to watch; helm names where it stands."""
    answer = helm(home, "template", "watch", values=nested(path, value))
    assert answer.returncode != 0
    assert any(key in answer.stderr for key in (path.rpartition(".")[2], path.partition(".")[0]))


def test_every_value_is_documented() -> None:
    """README's table and the schema name each value, and no other."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    readme = [line.split("`")[1] for line in (CHART / "README.md").read_text().splitlines() if line.startswith("| `")]
    named = list(leaves(values))
    assert readme == named
    schema = json.loads((CHART / "values.schema.json").read_text())
    for path in named:
        inside = schema
        for key in path.split("."):
            inside = inside["properties"][key]
        assert inside["description"].endswith("."), path


def test_its_files_are_those_of_the_monitoring() -> None:
    """What `make generated` makes of rules, alerts and dashboards is committed."""
    made = runpy.run_path(str(HELM / "files.py"))
    for name, text in made["renewed"]().items():
        assert (CHART / "files" / name).read_text(encoding="utf-8") == text, "run make generated"
    assert {file.name for file in (CHART / "files").iterdir()} == set(made["renewed"]())


def test_rules_and_dashboards_come_out_as_they_went_in(default: str, home: Path) -> None:
    """Every group but the exporters'; one disabled alert is gone, and what is chosen takes the default's place."""
    found = {one["metadata"]["name"]: one for one in manifests.load(default)}
    recording, alerts = (yaml.safe_load((MONITORING / name).read_text()) for name in ("rules.yml", "alerts.yml"))
    recorded, wanted = (
        [group for group in file["groups"] if group["name"] != "celery_exporters"] for file in (recording, alerts)
    )
    assert found["watch-recording"]["spec"]["groups"] == recorded
    assert found["watch-alerts"]["spec"]["groups"] == wanted
    for suffix, key, file in DASHBOARDS:
        data = found[f"watch-dashboard{suffix}"]["data"]
        assert json.loads(data[key]) == json.loads((MONITORING / file).read_text())
        assert len(data) == 1
        assert len(data[key]) < LAST_APPLIED

    for group in wanted:
        group["rules"] = [rule for rule in group["rules"] if rule["alert"] != "CeleryTargetsMissing"]
        for rule in group["rules"]:
            page = rule["annotations"]["runbook_url"].removeprefix("devops/monitoring/")
            rule["annotations"]["runbook_url"] = f"https://git.example.org/{page}"
    changed = {one["metadata"]["name"]: one for one in manifests.load(rendered(home, ALL_VALUES))}
    assert changed["watch-workers"]["spec"]["selector"]["matchLabels"] == {"app": "shop"}
    assert changed["watch-alerts"]["spec"]["groups"] == wanted
    assert changed["watch-extra"]["spec"]["groups"] == ALL_VALUES["prometheusRules"]["extraGroups"]


def test_its_monitors_scrape_as_the_manifests_do(default: str) -> None:
    """The PodMonitor is devops/kubernetes's, and the ServiceMonitor has its limits, and finds Service and port."""
    found = {one["kind"]: one for one in manifests.load(default)}
    theirs = yaml.safe_load((manifests.KUBERNETES / "shared" / "podmonitor.yaml").read_text())
    ours, queues = found["PodMonitor"]["spec"], found["ServiceMonitor"]["spec"]
    assert ours == theirs["spec"]
    limits = {name: value for name, value in theirs["spec"].items() if name.endswith("Limit")}
    assert {name: value for name, value in queues.items() if name.endswith("Limit")} == limits
    (endpoint,), service, container = queues["endpoints"], found["Service"], pods.container(found["Deployment"])
    assert queues["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["spec"]["selector"] == found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert {endpoint["port"], *(port["name"] for port in container["ports"])} == {"metrics"}
    environ = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environ["PROMETHEUS_PORT"] == str(container["ports"][0]["containerPort"])


@pytest.mark.parametrize("namespaces", [[], ["shop"], ["shop", "mail"]])
def test_who_consumes_and_who_tells_of_it_are_of_one_namespace(home: Path, namespaces: list[str]) -> None:
    """As their labels say, wherever they run: the workers' where they have one, else the release's."""
    found = {one["kind"]: one for one in manifests.load(rendered(home, nested(NAMESPACES, namespaces)))}
    (workers,) = found["PodMonitor"]["spec"]["podMetricsEndpoints"]
    (queues,) = found["ServiceMonitor"]["spec"]["endpoints"]
    told = [
        {each["replacement"] for each in one["relabelings"] if each.get("targetLabel") == "namespace"} or {where}
        for where, one in [*((where, workers) for where in namespaces or ["celery"]), ("celery", queues)]
    ]
    assert len(set[str]().union(*told)) == 1


@pytest.mark.parametrize(
    ("values", "arguments"),
    [
        ({}, ["--queue=celery"]),
        ({"queues": ["a", "b c"]}, ["--queue=a", "--queue=b c"]),
        ({"app": "proj"}, ["--app=proj"]),
        ({"app": "proj", "queues": ["a"], "extraArgs": ["--port=9"]}, ["--app=proj", "--queue=a", "--port=9"]),
    ],
)
def test_the_exporter_watches_what_it_is_told(home: Path, values: dict[str, Any], arguments: list[str]) -> None:
    """Queues by name, those of an app, or some of them; of a broker whose URL is nowhere but in a Secret."""
    (deployment,) = manifests.of_kind(manifests.load(rendered(home, {"queueExporter": values})), "Deployment")
    container = pods.container(deployment)
    assert [*container["command"], *container["args"]] == ["otel-celery", "queues", "serve", *arguments]
    secret = {"secretKeyRef": {"name": "celery-broker", "key": "CELERY_BROKER_URL"}}
    assert {"name": "CELERY_BROKER_URL", "valueFrom": secret} in container["env"]


def test_the_chart_is_of_this_version() -> None:
    """What it says of the app is the package's version."""
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__
