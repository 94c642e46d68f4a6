"""The worst incidents, played on every submission: real workers, Prometheus, Alertmanager, and whoever is told.

`python -m tests.incidents` plays them all, on both versions of Prometheus.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.incidents import __main__ as program
from tests.incidents import play as playing
from tests.incidents.incident import Incident
from tests.incidents.outcome import expectation, table
from tests.incidents.play import play
from tests.incidents.programme import EVERY, WORST
from tests.integration.stack.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.incidents.place import Place
    from tests.integration.worker.harness import Worker

pytestmark = [pytest.mark.xdist_group("incidents"), pytest.mark.timeout(300)]

TIMES = 40
LONGEST = 30
"""Minutes that an incident lasts here, which are an hour for some."""


def test_each_of_the_worst_is_told_as_it_is_expected(tmp_path: Path) -> None:
    """Its cause is one page, in time, named, and resolved after its end; what follows from it is none."""
    outcomes, strays = play([incident() for incident in WORST], "3", TIMES, tmp_path, LONGEST)
    print(table(outcomes))  # noqa: T201  shown where it fails
    assert {each.incident.name: each.wrong() for each in outcomes if each.wrong()} == {}
    assert strays == []


def test_the_page_tells_of_each() -> None:
    """In each version's table, of which one has what is expected, and in the one that says what each is."""
    rows = re.findall(r"(?m)^\| ([^|]+?) +\| ([^|]+?) +\|", (ROOT / "docs" / "incidents.md").read_text())
    names = [each.name for each in EVERY]
    found = [row for row in rows if row[0] in names]
    assert [name for name, _ in found] == names * 3
    assert found[: len(names)] == [(each.name, expectation(each)) for each in EVERY]


def test_the_worst_are_a_third() -> None:
    """At least; each is one of them all, each has a name of its own, and one page at most."""
    assert set(WORST) <= set(EVERY)
    assert 3 * len(WORST) >= len(EVERY)
    assert len({each.name for each in EVERY}) == len(EVERY)
    assert [each for each in EVERY if len(each.pages) > 1] == []


class Ended(Incident):
    """Somebody ends the program that plays it."""

    name = "ended"
    calm = 0
    lasts = 10
    worker: Worker
    is_over = False

    def broker(self, directory: Path) -> AbstractContextManager[str]:  # noqa: ARG002
        """Have none."""
        return nullcontext("memory://")

    def begin(self, place: Place) -> None:
        """Start a worker, and send the program SIGTERM."""
        self.worker = place.worker("general")
        os.kill(os.getpid(), signal.SIGTERM)

    def end(self, place: Place) -> None:  # noqa: ARG002
        """Tell that it was played to its end."""
        self.is_over = True


@contextmanager
def restored() -> Iterator[None]:
    """Give signals the handlers back that they had before."""
    before = {number: signal.getsignal(number) for number in program.ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_signal_ends_the_program_and_all_that_it_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, in the middle of an incident, and with the status that a shell gives."""
    webhook = SimpleNamespace(alerts=[])
    nobody = SimpleNamespace(webhook=webhook, since=0.0, wait_for=lambda _: None, fired=lambda _: ())
    monkeypatch.setattr(playing, "stage", lambda *_: nullcontext(nobody))
    incident = Ended()
    with restored():
        signal.signal(signal.SIGTERM, program.end)
        with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):
            play([incident], "3", TIMES, tmp_path)
    assert incident.worker.process.poll() == -signal.SIGKILL
    assert not incident.is_over


def test_ctrl_c_is_one_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """And no traceback; a second one does not cut off what the first has begun."""

    def interrupted(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(program, "play", interrupted)
    monkeypatch.setattr(sys, "argv", ["incidents", "dead worker"])
    with restored(), pytest.raises(SystemExit, match=str(128 + signal.SIGINT)):
        program.main()
    assert capfd.readouterr().err == "playing dead worker\nSIGINT: all that was started is ended\n"
