"""The first failure with an exception, on a real Prometheus: rate() does not see it, and what is recorded does."""

from __future__ import annotations

import http.server
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.integration.stack.intervals import hastened
from tests.integration.stack.servers import MONITORING, start_prometheus
from tests.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

TASK = 'worker="trading@host1",task_name="shop.pay",queue="orders"'
BY_EXCEPTION = "celery_task_failures_by_exception"
RECORDED = f"pool_task_exception:{BY_EXCEPTION}:increase15m"


class Failing(http.server.BaseHTTPRequestHandler):
    """A worker that started long ago, or just now, and whose first failure comes when it is told."""

    failed: ClassVar[int] = 0

    def do_GET(self) -> None:
        """Answer: /old is one whose failure is as old as itself."""
        is_old = self.path == "/old"
        lines = [f"process_start_time_seconds {time.time() - 86_400 if is_old else time.time() - 30}"]
        lines.append(f"celery_task_failed_total{{{TASK}}} {9 if is_old else self.failed}")
        if is_old or self.failed:
            lines.append(f'{BY_EXCEPTION}_total{{{TASK},exception="OSError"}} {9 if is_old else self.failed}')
        body = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


@contextmanager
def served() -> Iterator[int]:
    """Serve the workers; give their port."""
    Failing.failed = 0
    with http.server.ThreadingHTTPServer((LOOPBACK, 0), Failing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_first_failure_is_counted_and_an_old_one_is_not(version: str, tmp_path: Path) -> None:
    """Of a worker that was just started; one that Prometheus sees for the first time, with old failures, has none."""
    (tmp_path / "rules.yml").write_text(hastened((MONITORING / "rules.yml").read_text(), "1s"))
    with served() as port:
        jobs = "".join(
            f"- {{job_name: {job}, metrics_path: /{job}, static_configs: [{{targets: ['{LOOPBACK}:{port}']}}]}}\n"
            for job in ("new", "old")
        )
        config = "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\nscrape_configs:\n"
        with start_prometheus(config + jobs, tmp_path, version=version) as prometheus:
            prometheus.wait_for('celery_task_failed_total{job="new"} == 0', "the zero is seen")
            Failing.failed = 1
            prometheus.wait_for(f'{RECORDED}{{job="new"}} == 1', "the first failure is recorded")
            prometheus.wait_for(
                'rate(celery_task_failed_total{job="new"}[1m]) > 0', "the counter without exceptions has it"
            )
            assert not prometheus.query(f"rate({BY_EXCEPTION}_total[1m]) > 0")
            assert prometheus.query(f'{BY_EXCEPTION}_total{{job="old"}} == 9')
            assert not prometheus.query(f'{RECORDED}{{job="old"}} > 0')
