"""Prometheus and Alertmanager with the committed files, on a shorter scale of time, and whoever they tell."""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.incidents.pace import quickened
from tests.integration.stack.servers import MONITORING, Server, start_alertmanager, start_prometheus, wait_until
from tests.integration.stack.webhook import Webhook, answered
from tests.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.incidents.place import Place

VERSIONS = {"2": "2.42", "3": "3.13"}
RULES = ("rules.yml", "alerts.yml", "expectations.yml")
LOOKBACK = 300
"""Seconds for which Prometheus takes a series for alive, unless it is told: a duration like the others."""


@dataclass
class Stage:
    """What watches the places."""

    prometheus: Server
    alertmanager: Server
    webhook: Webhook
    since: float = 0
    """When Prometheus had found its targets (monotonic)."""

    def wait_for(self, places: Sequence[Place]) -> None:
        """Wait until every target that is to be up is, and each worker consumes."""
        awaited = {
            f"{LOOPBACK}:{port}": f"{place.environment} {name}"
            for place in places
            for name, port, _ in place.targets
            if port not in place.missing
        }

        def all_up() -> bool:
            found = self.prometheus.query("up == 1 unless ignoring (worker) celery_worker_up == 0")
            for each in found:
                awaited.pop(each["metric"]["instance"], None)
            return not awaited

        wait_until(lambda: self.prometheus.query("up"), "Prometheus has found its targets")
        self.since = time.monotonic()
        try:
            wait_until(all_up, "every target has been up, and every worker ready", 120)
        except AssertionError as error:
            raise AssertionError(f"{error}, but for {', '.join(awaited.values())}") from None
        # Prometheus finds its first target after five seconds of the clock, which are minutes without any here.
        try:
            wait_until(lambda: not self._of_no_environment(), "nothing is said of no environment")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._of_no_environment()}\n{self.prometheus.log[-2000:]}") from None

    def _of_no_environment(self) -> list[dict[str, str]]:
        return [each["metric"] for each in self.prometheus.query('ALERTS{env=""}')]

    def fired(self, environment: str) -> set[str]:
        """Name the alerts that fired in an environment, whoever was told of them."""
        found = self.prometheus.query(
            f'group by (alertname) (last_over_time(ALERTS{{alertstate="firing", env="{environment}"}}[1d]))'
        )
        return {each["metric"]["alertname"] for each in found}


@contextmanager
def stage(places: Sequence[Place], version: str, times: float, directory: Path) -> Iterator[Stage]:
    """Run Prometheus (``2`` or ``3``) and Alertmanager for these places."""
    with ExitStack() as running:
        webhook = running.enter_context(answered())
        routes = quickened((MONITORING / "alertmanager.yml").read_text(), times)
        manager = start_alertmanager(webhook.in_place_of_receivers(routes), directory)
        alertmanager = running.enter_context(manager)
        for name in RULES:
            (directory / name).write_text(quickened((MONITORING / name).read_text(), times))
        port = free_port()
        config = configuration(places, times, port, alertmanager.port)
        lookback = f"--query.lookback-delta={round(LOOKBACK * 1000 / times)}ms"
        started = start_prometheus(config, directory, version=VERSIONS[version], port=port, arguments=[lookback])
        yield Stage(running.enter_context(started), alertmanager, webhook)


def configuration(places: Sequence[Place], times: float, port: int, alertmanager: int) -> str:
    """Give prometheus.yml at this pace, with the places' targets instead of its own, and their jobs besides."""
    config: dict[str, Any] = yaml.safe_load(quickened((MONITORING / "prometheus.yml").read_text(), times))
    own: list[tuple[str, int, dict[str, str]]] = [("prometheus", port, {}), ("alertmanager", alertmanager, {})]
    jobs = {job["job_name"]: {**job, "static_configs": []} for job in config["scrape_configs"]}
    for name, number, labels in itertools.chain(own, *(place.targets for place in places)):
        job = jobs.setdefault(name, {"job_name": name, "static_configs": []})
        job["static_configs"].append({"targets": [f"{LOOPBACK}:{number}"], "labels": dict(labels)})
    for job in jobs.values():
        job.pop("file_sd_configs", None)
    config["scrape_configs"] = list(jobs.values())
    config["global"]["scrape_timeout"] = config["global"]["scrape_interval"]  # an answer is not quicker
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [f"{LOOPBACK}:{alertmanager}"]}]}]
    return yaml.safe_dump(config)
