"""The web frameworks' examples: a request to the web server becomes a task that the worker's port counts."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from tests.integration.frameworks.examples import FRAMEWORKS, Example
from tests.integration.worker.harness import wait_until
from tests.services import require

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.worker.conftest import Site

TASKS = {"django": "shop.tasks.send_receipt", "flask": "shop.send_receipt", "fastapi": "shop.send_receipt"}
SERVE = {
    "django": ("runserver", "Quit the server with"),
    "flask": ("flask --app", "Running on http"),
    "fastapi": ("uvicorn shop", "Uvicorn running on"),
}
"""How each web server is started, and what it says once it answers."""


@pytest.mark.prefork
@pytest.mark.parametrize("framework", TASKS)
def test_an_order_is_a_task_that_the_port_counts(site: Site, tmp_path: Path, framework: str) -> None:
    """By the page's own commands: a worker, a web server, an order, and a scrape; the worker ends well."""
    require(importlib.util.find_spec(framework), f"{framework} is not installed: pip install --group frameworks")
    example = Example(FRAMEWORKS / framework, site.broker, tmp_path)
    serve, ready = SERVE[framework]
    with (
        example.start(example.command("celery -A shop worker")) as worker,
        example.start(example.command(serve), PYTHONUNBUFFERED="1") as web,
    ):
        worker.wait_for(r"Prometheus metrics server started on port \d+ for worker shop@localhost")
        worker.wait_for(r"shop@localhost ready\.")
        web.wait_for(ready)
        assert '"placed":7' in example.run(example.command("-X POST")).replace(" ", "")
        scrape = example.wait_for_success(TASKS[framework])
        assert f'task_name="{TASKS[framework]}"' in example.run(example.command("/metrics"))
        if framework == "django":
            wait_until(
                lambda: example.scrape().has("shop_receipts_total", kind="odd"), "what the child counted is there"
            )
            assert example.scrape().value("shop_receipts_total") == 1
        assert scrape.value("celery_task_received_total", queue="celery") == 1
        assert "Prometheus metrics server" not in web.said()
        worker.process.terminate()
        assert worker.end() == 0


@pytest.mark.parametrize("framework", TASKS)
def test_the_page_shows_the_line_that_stands_in_the_file(framework: str) -> None:
    """What the page calls our one line is one line of the example."""
    directory = FRAMEWORKS / framework
    assert "```python\ninstrument(app)\n```" in (directory / "README.md").read_text()
    lines = [line for file in directory.rglob("*.py") for line in file.read_text().splitlines()]
    assert lines.count("instrument(app)") == 1
