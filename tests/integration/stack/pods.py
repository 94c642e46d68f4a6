"""A Deployment's pod, run here as an ordinary process; and Prometheus as the operator would set it up for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from celery import Celery

from tests.integration.pools.fleet import Fleet, until
from tests.integration.stack.manifests import Manifest, of_kind
from tests.integration.stack.servers import fetch

if TYPE_CHECKING:
    from pathlib import Path

RULES = ("celery-recording", "celery-alerts", "celery-kubernetes")
"""The PrometheusRules."""


@dataclass
class Pod:
    """The worker of a Deployment, run here as the kubelet would run it."""

    fleet: Fleet
    container: dict[str, Any]
    port: int
    broker: str
    queue: str

    def probe(self, name: str) -> int:
        """Ask what a probe of the container asks; return the status, or 0 where nobody answers."""
        question = self.container[name]["httpGet"]
        assert question["port"] == self.container["ports"][0]["name"]
        try:
            return fetch(f"http://127.0.0.1:{self.port}{question['path']}")[0]
        except OSError:
            return 0

    def nap(self, seconds: float, mark: Path) -> None:
        """Have a task run for so long; it leaves its mark when it begins and when it is through."""
        with Celery(broker=self.broker) as app:
            app.send_task("tiny.nap", (seconds, str(mark)), queue=self.queue)
        until(mark.exists, "the task has begun", self.fleet.said, 60)


def container(deployment: Manifest) -> dict[str, Any]:
    """Give a Deployment's one container."""
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    result: dict[str, Any] = only
    return result


def write_rules(everything: list[Manifest], directory: Path) -> list[str]:
    """Write the rules of each PrometheusRule into a file of its name."""
    found = {rule["metadata"]["name"]: rule["spec"] for rule in of_kind(everything, "PrometheusRule")}
    assert set(found) == set(RULES)
    for name, spec in found.items():
        (directory / f"{name}.yml").write_text(yaml.safe_dump(spec))
    return [f"{name}.yml" for name in RULES]


def snake(name: str) -> str:
    """Spell a key of a PodMonitor as Prometheus's own configuration does."""
    return re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name)


def configuration(everything: list[Manifest], port: int) -> dict[str, Any]:
    """Configure Prometheus as the operator would for the PodMonitor, with the discovery's answer given by hand."""
    (monitor,) = of_kind(everything, "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    discovered = {
        "__meta_kubernetes_namespace": "celery",
        "__meta_kubernetes_pod_name": "celery-trading-7d9f-x2x",
        "__meta_kubernetes_pod_container_name": "worker",
        "__meta_kubernetes_pod_label_pool": "trading",
    }
    operators = [
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": ["__meta_kubernetes_pod_container_name"], "target_label": "container"},
        {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        {"target_label": "job", "replacement": f"celery/{monitor['metadata']['name']}"},
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]
    ours = [{snake(key): value for key, value in rule.items()} for rule in endpoint["relabelings"]]
    return {
        "global": {"scrape_interval": endpoint["interval"], "scrape_timeout": endpoint["scrapeTimeout"]},
        "rule_files": [f"{name}.yml" for name in RULES],
        "scrape_configs": [
            {
                "job_name": "podMonitor/celery/celery-workers/0",
                "metrics_path": endpoint["path"],
                "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": discovered}],
                "relabel_configs": [*operators, *ours],
            }
        ],
    }
