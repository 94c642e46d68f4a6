"""The live view of real workers: printed once, and in a real terminal."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.pools.fleet import otel_celery
from tests.services import free_port, require
from tests.unit.watch.ports import page, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.pools.conftest import Yard

pytestmark = pytest.mark.xdist_group("demo")  # one at a time: each is many processes
POOLS = ("TRADING", "PIPELINE", "ALLOCATION", "MARKET", "GENERAL")


def once(yard: Yard, *more: str) -> tuple[int, dict[str, Any]]:
    """Ask for the document of the yard's pools."""
    command = otel_celery("top", "--once", "--json", "--file", str(yard.file), *more)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_two_real_workers_are_told_and_then_that_they_are_gone(yard: Yard) -> None:
    """Status 0 while nothing is wrong, else 1, with the runbook's first step."""
    with yard.up() as fleet:
        fleet.wait_for("ready", 2)
        status, well = once(yard)
        assert [(w["pool"], w["state"], w["size"]) for w in well["workers"]] == [("one", "up", 1), ("two", "up", 1)]
        assert (status, well["problems"], well["notes"]) == (0, [], [])
        fleet.process.terminate()
        fleet.end()
        status, gone = once(yard, "--interval", "0.5")
        assert status == 1
        assert {w["state"] for w in gone["workers"]} == {"not answering"}
        assert {problem["alert"] for problem in gone["problems"]} == {"CeleryWorkerDown"}
        assert gone["problems"][0]["command"] == "pgrep -af 'celery.*worker'"


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Terminal:
    """A tmux of its own, whose screen is read and whose keys are pressed."""

    def __init__(self, directory: Path) -> None:
        """Choose a socket."""
        self._socket = str(directory / "tmux")
        self._tmux = require(shutil.which("tmux"), "tmux is not installed: apt-get install tmux")

    def do(self, *words: str) -> str:
        """Give tmux a command."""
        command = [self._tmux, "-S", self._socket, "-f", "/dev/null", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def start(self, command: list[str], environ: dict[str, str], width: int, height: int) -> None:
        """Run a command in a terminal of this size; what it left stays to be read.

        Readline, which pytest imports, puts the size of pytest's own terminal into the environment.
        """
        given = [word for name, value in environ.items() for word in ("-e", f"{name}={value}")]
        quoted = " ".join(f"'{word}'" for word in ("env", "-u", "COLUMNS", "-u", "LINES", *command))
        self.do(
            "new-session", "-d", "-x", str(width), "-y", str(height), *given, f"{quoted}; echo ended with $?; sleep 60"
        )

    def wait_for(self, words: str, seconds: float = 60) -> str:
        """Wait until the screen shows something."""
        deadline = time.monotonic() + seconds
        while words not in (screen := self.do("capture-pane", "-p", "-t", ":")):
            assert time.monotonic() < deadline, screen
            time.sleep(0.1)
        return screen


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """Give a terminal, and take it away."""
    made = Terminal(tmp_path)
    yield made
    made.do("kill-server")


def test_the_demo_shows_the_live_view_in_a_terminal(tmp_path: Path, terminal: Terminal) -> None:
    """Five workers, their tasks and queues; keys work over the wire; Ctrl-C says what it does, and ends all."""
    ports = {f"OTEL_PYTHON_CELERY_POOL_{pool}_PORT": str(free_port()) for pool in POOLS}
    mark = str(uuid.uuid4())
    environ = {**ports, "TMPDIR": str(tmp_path), "PYTHONUTF8": "1", "TERM": "screen", "OTEL_CELERY_TEST_DEMO": mark}
    terminal.start(otel_celery("demo"), environ, 120, 40)
    terminal.wait_for("5 of 5 workers up")
    screen = terminal.wait_for("orders.place")
    assert all(f"{pool.lower()}@localhost" in screen for pool in POOLS)
    assert "\n Next, in another terminal of a clone: make monitoring BROKER=redis://" in screen
    assert screen.splitlines()[-1].startswith(" ? help  ")
    terminal.do("send-keys", "4")
    terminal.wait_for("4 problems")
    terminal.do("send-keys", "?")
    terminal.wait_for("Esc goes back")
    terminal.do("send-keys", "C-c")
    terminal.wait_for("Stopping: tasks have 2.5 s to finish; Ctrl-C once more cuts them off now.", 10)
    terminal.wait_for("ended with 0")
    (seconds,) = re.findall(r"^Stopped after (\d+\.\d) s", terminal.do("capture-pane", "-p", "-t", ":"), re.MULTILINE)
    assert float(seconds) <= 5
    _until(lambda: not _marked(mark))


CONSOLE = ["env", "TERM=linux", "LC_ALL=C", "PYTHONUTF8=0", "PYTHONIOENCODING=ascii", "NO_COLOR=1"]
"""A terminal of letters alone; tmux gives its windows a TERM of its own."""
COLOURED = re.compile(r"\x1b\[[0-9;]*\b[34][0-8]\b")


def test_without_colours_and_with_ascii_alone_everything_is_told_by_letters(terminal: Terminal) -> None:
    """Bars, states and what is cut off; a worker's name keeps its width."""
    words = page("trading·one@h", tasks_active=2)
    with serving(words) as port, serving("up 1\n") as other:
        command = [*CONSOLE, *otel_celery("top", port.address, other.address)]
        terminal.start(command, {}, 80, 24)
        screen = terminal.wait_for("###--- 2/4")
        assert COLOURED.search(terminal.do("capture-pane", "-p", "-e", "-t", ":")) is None
        assert "trading?one@h        up  " in screen
        assert re.search(r"^!! NotOtelCelery 127.* what answers is not otel-celery; its.*~$", screen, re.MULTILINE)
        assert f"{other.address}      not ours" in screen
        terminal.do("send-keys", "q")
        terminal.wait_for("ended with 1")


def test_a_terminal_that_cannot_draw_is_said_so(terminal: Terminal) -> None:
    """In place of a screen of escapes."""
    terminal.start(["env", "TERM=dumb", *otel_celery("top", "localhost:1")], {}, 200, 24)
    screen = terminal.wait_for("ended with 2")
    assert (
        "the live view needs a terminal that can move its cursor, and TERM is 'dumb': --once prints a table" in screen
    )


def _marked(mark: str) -> list[str]:
    """Find processes that have the mark in their environment, and say what they run."""
    marked = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and _has(entry, mark.encode()))
    lines = ((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode() for entry in marked)
    return [line for line in lines if "celery" in line or "valkey" in line]


def _has(entry: Path, mark: bytes) -> bool:
    try:
        return mark in (entry / "environ").read_bytes()
    except OSError:
        return False
