"""The command `otel-celery top`: with which status it ends, and what `--once` prints where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner
from textual.drivers.headless_driver import HeadlessDriver

from otel_celery.cli import main
from otel_celery.top.app import Top
from tests.unit.watch.ports import page, serving

if TYPE_CHECKING:
    import pytest


def test_a_live_view_that_fails_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it has looked at anything: that all is well is not known."""

    async def look(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("otel_celery.watch.fleet.Fleet.look", look)
    monkeypatch.setattr("otel_celery.cli.top.is_terminal", lambda: True)
    monkeypatch.setattr(Top, "get_driver_class", lambda _: HeadlessDriver)
    done = CliRunner().invoke(main, ["top", "localhost:1"])
    assert done.exit_code == 1


def test_once_prints_a_letter_that_the_terminal_does_not_take_as_another() -> None:
    """As the live view does: a worker may have any name."""
    with serving(page("größe@h")) as port:
        done = CliRunner(charset="ascii").invoke(main, ["top", "--once", "--interval", "0.2", port.address])
    assert done.exit_code == 0, done.output
    assert "gr??e@h  up " in done.output
