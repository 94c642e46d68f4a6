"""The demo's words, without its workers."""

from __future__ import annotations

import asyncio
import io
import os
import re
import threading
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from rich.console import Console
from rich.live import Live
from textual.drivers.headless_driver import HeadlessDriver

from otel_celery.demo import broker, ending, load
from otel_celery.demo.load import Load
from otel_celery.demo.show import Show, announce_stop, over_when_done
from otel_celery.pools import command
from otel_celery.pools.command import Command
from otel_celery.pools.runner import Runner
from otel_celery.top.app import Top
from otel_celery.watch.fleet import Fleet
from tests.integration.worker.harness import wait_until
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
            assert "Stopping: tasks have 2.5 s to finish; Ctrl-C once more cuts them off now." in shown.getvalue()

    asyncio.run(stop())


def test_a_batch_that_no_broker_takes_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is given up after seconds, and a burst has sixty: nobody waits for the one that is being sent."""
    app = Celery("nowhere", broker="redis://127.0.0.1:1/0", set_as_current=False)
    monkeypatch.setattr(load, "app", app)
    sending, given_up = Load(rate=1000), threading.Event()

    def send_task(*_: object, **__: object) -> None:
        assert given_up.wait(20)
        raise OperationalError

    monkeypatch.setattr(app, "send_task", send_task)

    async def stop() -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, stopping.set)
        await sending.run(stopping)

    asyncio.run(stop())
    assert sending.lost == 0
    given_up.set()
    wait_until(lambda: sending.lost, "the message is given up", 20)
    assert (sending.lost, sending.why) == (1, "OperationalError")


def stopped(log: Path, script: str, *, again: float | None = None) -> tuple[int, str]:
    """Run a script as a pool of the demo, and stop it, twice if ``again`` seconds are given; say how it ended."""

    async def played() -> tuple[int, str]:
        with log.open("w+", encoding="utf-8") as output:
            runner = Runner([Command("x", ("sh", "-c", script), os.environ)], output)
            over, hastened = asyncio.Event(), ending.Ending(runner)
            running = asyncio.create_task(over_when_done(runner, over))
            await asyncio.to_thread(wait_until, lambda: "begun" in log.read_text("utf-8"), "it has begun", 10)
            runner.stop()
            if again is not None:
                asyncio.get_running_loop().call_later(again, runner.stop)
            await hastened.hasten(over)
            return hastened.status(await running), hastened.said()

    return asyncio.run(asyncio.wait_for(played(), 20))


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        ("echo begun; exec sleep 60", 0, r"Stopped after \d\.\d s\."),
        (
            "trap '' TERM QUIT; echo begun; while true; do sleep 1; done",
            0,
            r"Stopped after \d\.\d s; what was not over within 0\.3 s was cut off, since this is a demo\.",
        ),
        ("trap 'exit 78' TERM; echo begun; while true; do sleep 0.1; done", 78, r"Stopped after \d\.\d s\."),
    ],
    ids=["ends", "does-not-end", "misconfigured"],
)
def test_what_does_not_end_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, status: int, words: str
) -> None:
    """By a cold shutdown and then by SIGKILL; that is no failure, and is said."""
    monkeypatch.setattr(ending, "FINISH", 0.3)
    monkeypatch.setattr(ending, "LEAVE", 0.3)
    ended, said = stopped(tmp_path / "log", script)
    assert ended == status
    assert re.fullmatch(words, said)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("trap '' TERM; trap 'exit 0' QUIT; echo begun; while true; do sleep 0.05; done", 0),
        ("trap '' TERM; trap 'exit 78' QUIT; echo begun; while true; do sleep 0.05; done", 78),
    ],
    ids=["works", "misconfigured"],
)
def test_a_second_request_cuts_off_and_is_no_failure(tmp_path: Path, script: str, status: int) -> None:
    """As the first one's answer has offered; the last line says whose doing it was."""
    ended, said = stopped(tmp_path / "log", script, again=0.4)
    assert ended == status
    assert re.fullmatch(r"Stopped after [01]\.\d s; what was not over at the second request was cut off\.", said)


def test_a_demo_that_cannot_begin_leaves_no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is no broker to start, and nothing to read about it."""

    def none() -> str:
        raise broker.NoBrokerError("there is no broker")

    monkeypatch.setattr(broker, "server", none)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(broker.NoBrokerError):
        asyncio.run(Show(environment(), broker=None, rate=1.0, concurrency=1).run(None))
    assert not list(tmp_path.iterdir())


def environment() -> dict[str, str]:
    """Give each of the demo's pools a free port."""
    pools = ("TRADING", "PIPELINE", "ALLOCATION", "MARKET", "GENERAL")
    return {f"OTEL_PYTHON_CELERY_POOL_{pool}_PORT": str(free_port()) for pool in pools}


@pytest.mark.parametrize(
    ("url", "shown", "again"),
    [
        ("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0", "BROKER=redis://127.0.0.1:1/0"),
        ("amqp://me:secret@127.0.0.1:1//", "amqp://***@127.0.0.1:1//", "with the same BROKER"),
        ("redis://127.0.0.1:1/0?password=secret", "redis://127.0.0.1:1/0?***", "with the same BROKER"),
    ],
    ids=["plain", "password", "query"],
)
def test_what_to_do_next_can_be_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, shown: str, again: str
) -> None:
    """A command with a masked password would be none."""

    async def perform(*_: object) -> int:
        return 0

    monkeypatch.setattr(Show, "_perform", perform)
    assert asyncio.run(Show(environment(), broker=url, rate=1.0, concurrency=1).run(None)) == 0
    said = capsys.readouterr().out
    assert f"Broker: {shown}\n" in said
    assert f"Next, in another terminal of a clone: make monitoring {again}\n" in said
    assert "secret" not in said


def test_a_demo_whose_view_fails_stops_and_ends_with_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And not with 0 beneath a traceback."""

    async def look(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    async def nothing(*_: object) -> None:
        """Send nothing."""

    monkeypatch.setattr(Fleet, "look", look)
    monkeypatch.setattr(Load, "run", nothing)
    monkeypatch.setattr(command, "worker", lambda pool, _: Command(pool.name, ("sleep", "60"), os.environ))
    monkeypatch.setattr("otel_celery.demo.screen.is_terminal", lambda: True)
    monkeypatch.setattr(Top, "get_driver_class", lambda _: HeadlessDriver)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    show = Show(environment(), broker="redis://127.0.0.1:1/0", rate=1.0, concurrency=1)
    assert asyncio.run(asyncio.wait_for(show.run(None), 20)) == 1
