"""The demo's words, without its workers."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from rich.console import Console
from rich.live import Live

from otel_celery.demo import broker, load
from otel_celery.demo.load import Load
from otel_celery.demo.show import Show, announce_stop
from tests.services import free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_the_first_request_to_stop_is_answered_at_once() -> None:
    """While the table is still on the screen, and not before it was asked."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100)

    async def stop() -> None:
        stopping = asyncio.Event()
        announcing = asyncio.create_task(announce_stop(console, stopping))
        with Live("the table", console=console, auto_refresh=False):
            await asyncio.sleep(0)
            assert "Stopping" not in shown.getvalue()
            stopping.set()
            await announcing
            assert "Stopping: the running tasks finish; Ctrl-C once more cuts them off." in shown.getvalue()

    asyncio.run(stop())


def test_a_batch_that_no_broker_takes_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message is given up after seconds, and a burst has sixty: what is left of a batch is not sent any more."""
    app = Celery("nowhere", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.broker_transport_options = {"connect_retries_timeout": 0.1}
    monkeypatch.setattr(load, "app", app)
    sending = Load(rate=1000)

    async def stop() -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_later(0.5, stopping.set)
        await sending.run(stopping)

    asyncio.run(stop())
    assert (sending.lost, sending.why) == (1, "OperationalError")


def test_a_demo_that_cannot_begin_leaves_no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is no broker to start, and nothing to read about it."""

    def none() -> str:
        raise broker.NoBrokerError("there is no broker")

    monkeypatch.setattr(broker, "server", none)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pools = ("TRADING", "PIPELINE", "ALLOCATION", "MARKET", "GENERAL")
    environ = {f"OTEL_PYTHON_CELERY_POOL_{pool}_PORT": str(free_port()) for pool in pools}
    with pytest.raises(broker.NoBrokerError):
        asyncio.run(Show(environ, broker=None, rate=1.0, concurrency=1).run(None))
    assert not list(tmp_path.iterdir())
