"""Histories played by VictoriaMetrics: its vmalert replays the rules over what its store was given.

A replay has a rule answer for the whole time at once. So the rules go in turns: first those that read nothing recorded,
then those that read these. A rule that remembers itself has no turn.
"""

from __future__ import annotations

import json
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from subprocess import run
from typing import TYPE_CHECKING, Any

import yaml

from tests.integration.stack.rulebook import metrics, rules
from tests.integration.stack.servers import MONITORING, Server, debian, start
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.integration.stack.histories import Series

    Rule = dict[str, Any]

PACKAGE = "victoria-metrics"
UNJUDGED = "target_worker:celery_worker_up:unjudged"
"""Reads what remembers itself. It is of workers that say that they are up: where none does it has nothing to tell."""
BEGUN = 1_795_000_000 // 3600 * 3600
"""When every history begins, in seconds since 1970."""


@dataclass(frozen=True)
class Replay:
    """A VictoriaMetrics, and what is asked of it."""

    server: Server
    directory: Path

    def remember(self, histories: Iterable[Series], interval: int) -> None:
        """Have it store series, with a sample every so many seconds; it cannot be told that one is stale."""
        lines = (
            f"{one.name} {value + BEGUN * one.is_moment} {(BEGUN + step * interval) * 1000}"
            for one in histories
            for step, value in enumerate(one.samples)
            if isinstance(value, float)
        )
        self._post("/api/v1/import/prometheus", "\n".join(lines).encode())
        self._post("/internal/force_flush")

    def play(self, seconds: int, every: int) -> None:
        """Replay all rules that can be, from the beginning, every so many seconds."""
        for number, turn in enumerate(turns()):
            file = self.directory / f"turn-{number}.yml"
            group = {"name": f"turn-{number}", "interval": f"{every}s", "rules": turn}
            file.write_text(yaml.safe_dump({"groups": [group]}, width=10_000))
            urls = (f"-{name}.url={self.server.url}" for name in ("datasource", "remoteWrite", "remoteRead"))
            times = (f"-replay.time{name}={datetime.fromtimestamp(at, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
                     for name, at in (("From", BEGUN), ("To", BEGUN + seconds)))  # fmt: skip
            quiet = (
                "-replay.rulesDelay=0s",
                "-replay.disableProgressBar",
                "-remoteWrite.flushInterval=100ms",
                f"-datasource.queryStep={every}s",
            )
            command = [debian("vmalert", PACKAGE), f"-rule={file}", *urls, *times, *quiet]
            done = run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
            self._post("/internal/force_flush")

    def firing(self, alert: str) -> dict[int, list[dict[str, str]]]:
        """Tell of an alert when it fired, in seconds since the beginning, and with which labels."""
        _, body = self.server.get("/api/v1/export", **{"match[]": f'ALERTS{{alertname="{alert}",alertstate="firing"}}'})
        found: dict[int, list[dict[str, str]]] = {}
        for series in map(json.loads, body.splitlines()):
            dropped = {"__name__", "alertname", "alertstate", "alertgroup"}
            labels = {name: value for name, value in series["metric"].items() if name not in dropped}
            for at in series["timestamps"]:
                found.setdefault(at // 1000 - BEGUN, []).append(labels)
        return found

    def _post(self, path: str, body: bytes = b"") -> None:
        urllib.request.urlopen(urllib.request.Request(self.server.url + path, body, method="POST"), timeout=60).close()


@contextmanager
def victoria(directory: Path) -> Iterator[Replay]:
    """Run Debian's VictoriaMetrics."""
    port = free_port()
    command = [debian(PACKAGE, PACKAGE), f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={directory / 'store'}"]
    with start(
        [*command, "-retentionPeriod=100y", "-search.minStalenessInterval=5m"], port, directory, ready="/health"
    ) as server:
        yield Replay(server, directory)


def turns() -> list[list[Rule]]:
    """Put the rules that can be replayed in turns: each reads nothing that is recorded in its own, or later."""
    written = [rule for name in ("rules.yml", "alerts.yml") for rule in rules((MONITORING / name).read_text())]
    left = [rule for rule in written if rule.get("record") != UNJUDGED]
    found: list[list[Rule]] = []
    while True:
        waiting = {rule["record"] for rule in left if "record" in rule}
        turn = [rule for rule in left if not metrics(rule["expr"]) & waiting]
        if not turn:
            return found
        found.append(turn)
        left = [rule for rule in left if rule not in turn]
