"""The manifests: published schemas accept them, they fit one another, and what they start is a worker as they say."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from otel_celery.pools import plan
from tests.integration.pools.fleet import Fleet
from tests.integration.stack import manifests, pods
from tests.integration.stack.intervals import hastened
from tests.integration.stack.servers import MONITORING, OK, start_prometheus, wait_until
from tests.services import built, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.xdist_group("kubernetes")

HERE = Path(__file__).parent
SCALED = ("autoscaling/pipeline", "autoscaling/trading")
OF_SCALED = 4 * len(SCALED)
"""How many manifests these have: a ConfigMap, a Deployment, a PodDisruptionBudget and a ScaledObject each."""
POOLS = plan.read(plan.EXAMPLE)


@pytest.fixture(scope="module")
def text() -> str:
    """Build everything, by kustomize, and the pools that are scaled besides."""
    return "---\n".join(map(manifests.build, (".", *SCALED)))


@pytest.fixture(scope="module")
def everything(text: str) -> list[manifests.Manifest]:
    """Parse it; the scaled pools' manifests are the last ones."""
    return manifests.load(text)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the published schemas."""
    directory = tmp_path_factory.mktemp("schemas")
    manifests.write_schemas(directory)
    return directory


@pytest.mark.parametrize("version", manifests.VERSIONS)
def test_kubernetes_accepts_every_manifest(text: str, schemas: Path, version: str) -> None:
    """There is a schema for each resource, and nothing that is not in it."""
    status, resources = manifests.conform(text, version, schemas)
    assert [found for found in resources if found["status"] != "statusValid"] == []
    assert {found["kind"] for found in resources} == {
        *("ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget"),
        *("PodMonitor", "PrometheusRule", "ScaledObject"),
    }
    assert status == 0


def test_a_misspelt_key_is_refused(text: str, schemas: Path) -> None:
    """One wrong word in a resource of each kind, and kubeconform refuses that one: the schemas are strict."""
    for right, wrong in {
        "maxSurge": "maxSurges",
        "policyTypes": "policyType",
        "unhealthyPodEvictionPolicy": "unhealthyPodPolicy",
        "podMetricsEndpoints": "podMetricEndpoints",
        "alert:": "alarm:",
        "pollingInterval": "pollInterval",
    }.items():
        assert right in text
        text = text.replace(right, wrong)
    _, resources = manifests.conform(text, manifests.VERSIONS[-1], schemas)
    refused = {found["kind"] for found in resources if found["status"] == "statusInvalid"}
    assert refused == {
        *("Deployment", "NetworkPolicy", "PodDisruptionBudget"),
        *("PodMonitor", "PrometheusRule", "ScaledObject"),
    }


def test_the_overlays_are_the_documented_pools(everything: list[manifests.Manifest]) -> None:
    """Each pool has a Deployment that selects its own pods, with the queues and concurrency of the pools file."""
    by_name = {(found["kind"], found["metadata"]["name"]): found for found in everything[:-OF_SCALED]}
    for pool in POOLS:
        deployment = by_name["Deployment", f"celery-{pool.name}"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert labels == deployment["spec"]["selector"]["matchLabels"]
        assert labels == by_name["PodDisruptionBudget", f"celery-{pool.name}"]["spec"]["selector"]["matchLabels"]
        assert labels["pool"] == pool.name
        (source, _) = pods.container(deployment)["envFrom"]
        values = by_name["ConfigMap", source["configMapRef"]["name"]]["data"]
        assert (values["CELERY_POOL"], values["CELERY_QUEUES"]) == (pool.name, ",".join(pool.queues))
        assert (values["CELERY_CONCURRENCY"], values["CELERY_POOL_KIND"]) == (str(pool.concurrency), pool.kind)


def test_the_parts_mean_the_same_pods_and_port(everything: list[manifests.Manifest]) -> None:
    """NetworkPolicy and PodMonitor select the workers' pods and the port that the worker is told to open."""
    for deployment in manifests.of_kind(everything, "Deployment"):
        (port,) = pods.container(deployment)["ports"]
        environ = {variable["name"]: variable["value"] for variable in pods.container(deployment)["env"]}
        assert environ["PROMETHEUS_PORT"] == str(port["containerPort"])
        (monitor,) = manifests.of_kind(everything, "PodMonitor")
        assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == [port["name"]]
        (policy,) = manifests.of_kind(everything, "NetworkPolicy")
        assert [p["port"] for rule in policy["spec"]["ingress"] for p in rule["ports"]] == [port["name"]]
        labels = deployment["spec"]["template"]["metadata"]["labels"].items()
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels


@pytest.mark.parametrize("directory", SCALED)
def test_the_autoscaler_moves_the_pool_that_it_reads(directory: str) -> None:
    """Its target is the Deployment beside it, which leaves the number of its pods to it, down to none."""
    built_alone = manifests.load(manifests.build(directory))
    assert len(built_alone) == OF_SCALED // len(SCALED)
    ((scaled,), (deployment,), (config,)) = (
        manifests.of_kind(built_alone, kind) for kind in ("ScaledObject", "Deployment", "ConfigMap")
    )
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    assert scaled["spec"]["minReplicaCount"] == 0
    pool, slots = config["data"]["CELERY_POOL"], int(config["data"]["CELERY_CONCURRENCY"])
    workers, queue = sorted(scaled["spec"]["triggers"], key=lambda trigger: "celery_worker" not in str(trigger))
    assert workers["metadata"]["query"].count(f'pool="{pool}"') == 2
    assert 0 < float(workers["metadata"]["threshold"]) <= slots
    assert f'queue=~"{config["data"]["CELERY_QUEUES"].replace(",", "|")}"' in queue["metadata"]["query"]


def test_the_autoscalers_ask_what_they_say(everything: list[manifests.Manifest], tmp_path: Path) -> None:
    """From the first message on, and while anything runs, a trigger is active; what nobody reads has no data."""
    pods.write_rules(everything, tmp_path)
    queries = {
        (scaled["spec"]["scaleTargetRef"]["name"], trigger["name"]): trigger["metadata"]["query"]
        for scaled in manifests.of_kind(everything, "ScaledObject")
        for trigger in scaled["spec"]["triggers"]
    }
    waiting = (*told("trading", 7), *told("pipeline", 7), *told("pipeline", 90, "oldest_message_age_seconds"))
    busy = tuple(
        f'celery_worker_tasks_{state}{{job="celery", pool="{pool}", worker="{pool}@{pod}"}}: 2'
        for pool in ("trading", "pipeline") for pod in "ab" for state in ("active", "reserved")
    )  # fmt: skip
    cases: dict[tuple[str, ...], tuple[float | None, ...]] = {
        (): (0, None, None, 0),
        (*told("trading", 0), *told("pipeline", 0)): (0, 0, 0, 0),
        waiting: (0, 7, 90, 0),
        (*waiting, *busy): (8, 7, 90, 8),
    }
    asked = [("celery-trading", "saturation"), ("celery-trading", "length"), ("celery-pipeline", "age")]
    asked.append(("celery-pipeline", "busy"))
    assert set(asked) == set(queries)
    tests = [
        {
            "interval": "30s",
            "input_series": [dict(zip(("series", "values"), series_of(one), strict=True)) for one in case],
            "promql_expr_test": [
                {"expr": queries[one], "eval_time": "2m", "exp_samples": [] if value is None else [{"value": value}]}
                for one, value in zip(asked, values, strict=True)
            ],
        }
        for case, values in cases.items()
    ]
    unit = {"rule_files": ["celery-recording.yml"], "evaluation_interval": "30s", "tests": tests}
    (tmp_path / "scaled.yml").write_text(yaml.safe_dump(unit))
    command = [built("promtool"), "test", "rules", "scaled.yml"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def told(queue: str, value: float, what: str = "length") -> tuple[str]:
    """Name what the queue exporter tells of a queue."""
    return (f'celery_queue_{what}{{job="celery-queues", namespace="celery", queue="{queue}"}}: {value}',)


def series_of(one: str) -> tuple[str, str]:
    """Part a series from its value, and have it stand still."""
    series, _, value = one.rpartition(": ")
    return series, f"{value}x10"


def test_the_rules_are_those_of_the_monitoring() -> None:
    """What `make generated` makes of alerts.yml and rules.yml is committed, all but one group."""
    made = runpy.run_path(str(manifests.KUBERNETES / "rules.py"))
    assert made["TARGET"].read_text() == made["renewed"](), "run make generated"
    for found in manifests.load(made["renewed"]()):
        source = made["HERE"].parent / "monitoring" / made["SOURCES"][found["metadata"]["name"]]
        groups = yaml.safe_load(source.read_text())["groups"]
        assert found["spec"]["groups"] == [group for group in groups if group["name"] != made["LEFT_OUT"]]


@pytest.mark.parametrize("version", ["3.13", "2.42"])
def test_what_pages_where_pods_come_and_go(
    everything: list[manifests.Manifest], tmp_path: Path, promtool: str, version: str
) -> None:
    """The rules of the built PrometheusRules pass promtool's checks, and fire and resolve as the unit test says."""
    program = built("promtool") if version == "3.13" else promtool
    files = pods.write_rules(everything, tmp_path)
    (tmp_path / "test.yml").write_text((HERE / "kubernetes_alerts.yml").read_text())
    for command in (["check", "rules", *files], ["test", "rules", "test.yml"]):
        answer = subprocess.run([program, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_each_alert_of_kubernetes_is_explained() -> None:
    """Each alert's runbook_url is a heading of the README, and it fires in the unit test, as all of the table do."""
    rules = yaml.safe_load((manifests.KUBERNETES / "shared" / "kubernetes-alerts.yaml").read_text())
    readme = (manifests.KUBERNETES / "README.md").read_text()
    headings = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", readme, re.MULTILINE)}
    cases = yaml.safe_load((HERE / "kubernetes_alerts.yml").read_text())["tests"]
    fired = {c["alertname"] for case in cases for c in case.get("alert_rule_test", ()) if c["exp_alerts"]}
    asked = [c for case in cases for c in case.get("promql_expr_test", ()) if c["exp_samples"]]
    fired |= {name for c in asked for name in re.findall(r'alertname="(\w+)"', c["expr"])}
    for rule in rules["spec"]["groups"][0]["rules"]:
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "devops/kubernetes/README.md"
        assert anchor in headings
        assert rule["alert"] in fired
    table = re.search(r"(?ms)^\| what happened \|.*?\n\n", readme)
    assert table
    assert set(re.findall(r"Celery[A-Z]\w+", table[0])) <= fired, "the table names an alert that no case has firing"


def test_the_pods_are_scraped_within_the_limits_of_prometheus_yml(everything: list[manifests.Manifest]) -> None:
    """The PodMonitor has each limit of the job celery under its own spelling, and the intervals for all jobs."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    (job,) = (one for one in config["scrape_configs"] if one["job_name"] == "celery")
    (monitor,) = manifests.of_kind(everything, "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    limits = {pods.snake(name): value for name, value in monitor["spec"].items() if name.endswith("Limit")}
    assert limits == {name: value for name, value in job.items() if name.endswith("_limit")}
    assert len(limits) == 6
    assert endpoint["interval"] == config["global"]["scrape_interval"]
    assert endpoint["scrapeTimeout"] == config["global"]["scrape_timeout"]


@pytest.fixture
def pod(everything: list[manifests.Manifest], redis_url: str, tmp_path: Path) -> Iterator[pods.Pod]:
    """Run the command of the pool trading with its environment; the port, the broker and the app are the test's."""
    (deployment,) = [
        d for d in manifests.of_kind(everything[:-OF_SCALED], "Deployment") if d["metadata"]["name"].endswith("trading")
    ]
    spec, port = pods.container(deployment), free_port()
    (values,) = [f["data"] for f in everything if f["metadata"]["name"] == spec["envFrom"][0]["configMapRef"]["name"]][
        :1
    ]
    environ = {**values, **{variable["name"]: variable["value"] for variable in spec["env"]}}
    environ |= {"CELERY_APP": "tiny", "CELERY_QUEUES": tmp_path.name, "CELERY_CONCURRENCY": "2"}
    environ |= {"PROMETHEUS_PORT": str(port), "CELERY_BROKER_URL": redis_url}
    program, *arguments = manifests.expand([*spec["command"], *spec["args"]], environ)
    assert program == "celery"
    with Fleet([sys.executable, "-m", "celery", *arguments], tmp_path / "out", environ) as fleet:
        yield pods.Pod(fleet, spec, port, redis_url, tmp_path.name)


def test_the_pod_is_probed_drained_and_scraped(text: str, pod: pods.Pod, tmp_path: Path) -> None:
    """A worker as the manifests start it answers their probes, has the labels that the rules need, and drains.

    Prometheus runs with the PodMonitor's relabelling, on the metadata that its discovery of pods would give, and with
    the rules of the PrometheusRules. On SIGTERM readiness goes at once, liveness stays, and the running task finishes.
    """
    wait_until(lambda: pod.probe("startupProbe") == OK, "the port is open")
    wait_until(lambda: pod.probe("readinessProbe") == OK, "the worker consumes")
    assert pod.probe("livenessProbe") == OK
    everything = manifests.load(hastened(text, "1s"))
    pods.write_rules(everything, tmp_path)
    scaled = manifests.of_kind(everything, "ScaledObject")[-1]
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    with start_prometheus(yaml.safe_dump(pods.configuration(everything, pod.port)), tmp_path) as prometheus:
        (found,) = prometheus.wait_for('pool:celery_worker_up:sum{pool="trading"} == 1', "the rules see the pool")
        expected = {"__name__": "pool:celery_worker_up:sum", "job": "celery", "pool": "trading", "namespace": "celery"}
        assert found["metric"] == expected
        (up,) = prometheus.query('up{job="celery"}')
        labels = {"__name__": "up", "job": "celery", "pool": "trading", "namespace": "celery"}
        assert up["metric"] == {**labels, "instance": "celery/celery-trading-7d9f-x2x"}
        assert prometheus.value(query) == 0
        mark = tmp_path / "mark"
        pod.nap(12, mark)
        wait_until(lambda: prometheus.value(query) == 1, "KEDA's query sees the busy slot")
        pod.fleet.process.terminate()
        wait_until(lambda: pod.probe("readinessProbe") != OK, "a draining worker is not ready")
        assert (mark.read_text(), pod.probe("livenessProbe")) == ("begun", OK)
        assert pod.fleet.end(60) == 0
        assert mark.read_text() == "through"
