"""The page on a real worker's port: it agrees with the scrape, and a real browser shows it as it is."""

from __future__ import annotations

import base64
import signal
import subprocess
import urllib.error
import urllib.request
from itertools import product
from typing import TYPE_CHECKING

import pytest

from otel_celery.page import words
from otel_celery.quantile import quantile
from tests import services
from tests.integration.worker.harness import Scrape, wait_until
from tests.integration.worker.proj_page import MARKUP
from tests.integration.worker.ways import HOOK, pools
from tests.unit.page.document import Document

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

SECRET = "looker:secret"
RUNBOOK = "https://git.example/RUNBOOK.md"


def ask(worker: Worker, path: str = "/", secret: str = "", **headers: str) -> tuple[int, str]:
    """Ask the port, with a name and password if there is one."""
    request = urllib.request.Request(f"http://127.0.0.1:{worker.port}{path}", headers=headers)
    if secret:
        request.add_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def looked(worker: Worker, secret: str = "") -> Document:
    """Look at the page as a browser does."""
    status, document = ask(worker, "/", secret, Accept="text/html")
    assert status == 200, document
    return Document(document)


def figures(scrape: Scrape, task: str) -> dict[str, str]:
    """Say of a task what the page has to say, by the samples of a scrape."""
    ends = ("received", "succeeded", "failed", "retried")
    counts = {end: words.count(scrape.value(f"celery_task_{end}_total", task_name=task)) for end in ends}
    buckets: dict[float, float] = {}
    for each in scrape.samples:
        if each.name == "celery_task_duration_seconds_bucket" and each.labels["task_name"] == task:
            buckets[float(each.labels["le"])] = buckets.get(float(each.labels["le"]), 0.0) + each.value
    return {**counts, "p50": words.duration(quantile(0.5, buckets)), "p95": words.duration(quantile(0.95, buckets))}


def agrees(document: Document, scrape: Scrape) -> None:
    """Compare all tasks and queues of a page with a scrape, when nothing moves."""
    rows = document.rows()
    assert set(rows) == scrape.labels("celery_task_received_total", "task_name")
    for task, row in rows.items():
        assert row | figures(scrape, task) == row
    active, size = (scrape.value(f"celery_worker_{name}") for name in ("tasks_active", "pool_size"))
    assert document.facts["busy"] == f"{active:g} of {words.counted(size, 'slot', 'slots')}"
    queues = document.rows("received here")
    assert {queue: row["received here"] for queue, row in queues.items()} == {
        "celery": words.count(scrape.value("celery_task_received_total", queue="celery"))
    }


@pytest.mark.prefork
def test_a_workers_page(site: Site, tmp_path: Path) -> None:
    """It needs the scrape's credentials and says what the scrape says; a browser shows it, and markup in it as text.

    As the worker ends it says so, while its last task runs.
    """
    browser = services.chromium()
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{SECRET}\n", encoding="utf-8")
    secrets.chmod(0o600)
    environment = {
        "OTEL_PYTHON_CELERY_CREDENTIALS_FILE": str(secrets),
        "OTEL_PYTHON_CELERY_RUNBOOK_URL": RUNBOOK,
    }
    worker = HOOK.start(site, "prefork", app="tests.integration.worker.proj_page", environment=environment).wait_ready()
    for name in ("proj.succeed", "proj.succeed", "proj.fail", "proj.retry_once", MARKUP):
        site.client.send_task(name)
    site.client.send_task("proj.succeed", kwargs={"seconds": 0.2})
    for path, accept in product(("/", "/-/runbook"), ("text/html", "*/*")):
        assert ask(worker, path, Accept=accept) == (401, "credentials are needed\n")

    def done() -> Scrape | None:
        scrape = Scrape(ask(worker, "/metrics", SECRET)[1])
        return (
            scrape
            if scrape.value("celery_tasks_total") == 7 and scrape.value("celery_worker_tasks_active") == 0
            else None
        )

    scrape = wait_until(done, "all are counted")
    document = looked(worker, SECRET)
    agrees(document, scrape)
    assert document.text("title") == "worker w@localhost: ready"
    assert document.rows()["proj.fail"]["raised most"] == "ValueError (1)"
    assert document.rows()[MARKUP]["last success"].endswith(("now", "s ago"))
    started = words.time(scrape.value("process_start_time_seconds"))
    assert document.facts["since"].startswith(f"{started}, for ")  # maybe for some milliseconds only
    assert ("a", (("href", RUNBOOK), ("rel", "noreferrer"))) in document.elements
    assert ask(worker, "/", SECRET)[1].startswith("worker w@localhost: ready\npool: prefork\n")
    shown = _shown_by(browser, worker, "/?refresh=3600")
    assert shown.text("title") == document.text("title")
    assert shown.rows().keys() == document.rows().keys()
    assert MARKUP in shown.rows()
    assert not {"script", "b"} & {tag for tag, _ in shown.elements}
    assert ("h2", (("id", "celeryworkerdown"),)) in _shown_by(browser, worker, "/-/runbook#celeryworkerdown").elements
    assert ask(worker, "/-/runbook", SECRET)[1].startswith("# Runbook\n")

    site.client.send_task("proj.succeed", kwargs={"seconds": 3})
    wait_until(lambda: worker.record()["began succeed"] == 4, "the last task runs")
    worker.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "draining" in looked(worker, SECRET).text("p"), "the page says it")
    document = looked(worker, SECRET)
    assert document.text("p") == "draining: the worker is shutting down"
    assert document.facts["busy"] == "1 of 2 slots"
    assert worker.stop() == 0


def _shown_by(browser: str, worker: Worker, path: str) -> Document:
    """Read what a browser makes of a document that it gets: it has refused nothing of ours."""
    where = f"http://{SECRET}@127.0.0.1:{worker.port}{path}"
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom")
    ran = subprocess.run([browser, *options, where], capture_output=True, text=True, timeout=60, check=True)
    assert "Content Security Policy" not in ran.stderr
    return Document(ran.stdout)


@pytest.mark.parametrize("pool", pools("solo", "gevent"))
def test_the_page_on_other_pools(site: Site, pool: str) -> None:
    """It says what the scrape says, and on solo it answers while a task holds the main thread."""
    worker = HOOK.start(site, pool).wait_ready()
    site.client.send_task("proj.fail")
    scrape = worker.settled()
    agrees(looked(worker), scrape)
    site.client.send_task("proj.succeed", kwargs={"seconds": 1.0})
    wait_until(lambda: looked(worker).facts["busy"].startswith("1 of "), "the task is seen at work")
    assert looked(worker).facts["runs longest"].startswith("proj.succeed, for ")
    assert worker.stop() == 0
