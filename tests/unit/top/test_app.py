"""The live view, driven by keys and mouse: on real ports where they matter, else on a fleet in trouble."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from textual.events import DescendantFocus, Key, MouseDown, Paste

from otel_celery.top.app import Top
from otel_celery.top.grid import Grid
from otel_celery.top.overlay import HELP
from otel_celery.watch.model import Task, View
from tests.unit.top.scenes import SCREENS, TROUBLE, Still, fleet, lines, shown, text, until
from tests.unit.watch.ports import page, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

LETTERS = {"alt+s": "s", "alt+shift+g": "G"}
"""What Textual takes keys with Alt for."""
SIZES = ((80, 24), (120, 40), (200, 50))


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw with blocks, at one hour, whatever the terminal that runs the tests."""
    monkeypatch.setattr("otel_celery.top.drawing.is_ascii", lambda: False)
    monkeypatch.setenv("TZ", "UTC")


def played(play: Callable[[], Coroutine[None, None, None]]) -> None:
    """Play a test's coroutine."""
    asyncio.run(play())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_screen_is_right_at_each_size(size: tuple[int, int]) -> None:
    """What is wrong is seen at once, no line is cut in the middle of a figure, all panes where there is room.

    `OTEL_CELERY_TEST_SCREENS=write` writes tests/unit/top/screens anew: look at each before you commit it.
    """

    async def play() -> None:
        async with shown(Still(TROUBLE), size) as (app, pilot):
            await pilot.pause()
            _compare(f"{size[0]}x{size[1]}", text(app))

    played(play)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("worker", "1 enter"),
        ("task", "2 enter"),
        ("queue", "3 j enter"),
        ("problem", "4 enter"),
        ("problems", "4"),
        ("help", "question_mark"),
    ],
)
def test_a_close_look_is_right(name: str, keys: str) -> None:
    """Of one worker, one task, one queue, one problem; and the help."""

    async def play() -> None:
        async with shown(Still(TROUBLE)) as (app, pilot):
            await pilot.press(*keys.split())
            await pilot.pause()
            _compare(name, text(app))
            await pilot.press("escape")
            await until(lambda: len(app.screen_stack) == 1)

    played(play)


def test_no_line_of_the_help_is_broken_on_eighty_columns() -> None:
    """The pane has a margin of one on each side."""
    assert max(map(len, HELP.splitlines())) <= 78


def _compare(name: str, screen: str) -> None:
    file = SCREENS / f"{name}.txt"
    if os.environ.get("OTEL_CELERY_TEST_SCREENS") == "write":
        file.write_text(screen + "\n", "utf-8")
    assert screen + "\n" == file.read_text("utf-8")


def test_a_real_port_is_shown_and_trouble_is_named_within_two_looks() -> None:
    """Then the worker goes, and that is said as well; the one that hangs holds nothing up."""

    async def play() -> None:
        with serving(page()) as port, serving() as slow:
            slow.hangs = True
            async with shown(fleet(port.address, slow.address), (120, 40)) as (app, pilot):
                await until(lambda: "trading@h" in text(app))
                port.page = page(failure=50, loop_stall_seconds=31)
                await until(lambda: "HighTaskFailureRate" in text(app) and "CeleryWorkerStuck" in text(app), 5)
                port.status = 503
                await until(lambda: "HTTP 503" in text(app), 5)
                await pilot.press("q")
        assert app.view is not None
        assert not app.view.is_well

    played(play)


def test_tasks_are_sorted_by_any_column() -> None:
    """By key, also by the columns that have no room on a small terminal; the title says by which."""
    at = TROUBLE.at
    rows = (
        Task("c", "a", 2, 1, 0, 0, 1, 0.3, 1, 3, 2, at - 20, "C", 2, (1,)),
        Task("b", "c", 1, 3, 0, 0, 3, 0.1, 3, 2, 1, at - 30, "A", 3, (2,)),
        Task("a", "b", 3, 2, 0, 0, 2, 0.2, 2, 1, 3, at - 10, "B", 1, (3,)),
    )
    expected = {
        "task": "abc",
        "ends/s": "bac",
        "failed": "cab",
        "p50": "bac",
        "p95": "cba",
        "wait": "acb",
        "success": "bca",
        "exception": "bac",
        "pool": "cab",
        "recv/s": "acb",
        "retry/s": "bac",
        "oldest": "bca",
        "recent": "cba",
    }

    async def play() -> None:
        async with shown(Still(View(at=at, watched=9, tasks=rows))) as (app, pilot):
            await pilot.press("2")
            sorted_by = {}
            for title in expected:
                await pilot.press("s")
                assert f"2 tasks (3, by {title})" in text(app)
                sorted_by[title] = "".join(_names(app, "tasks"))
            assert sorted_by == expected
            await pilot.press("s")
            assert "2 tasks (3, by task)" in text(app)
            await pilot.press("less_than_sign")
            assert "2 tasks (3, by recent)" in text(app)

    played(play)


def test_rows_are_sorted_by_key_and_by_the_mouse() -> None:
    """By a click on the head too; a second one, or a key, turns the order round."""

    async def play() -> None:
        async with shown(Still(TROUBLE)) as (app, pilot):
            await pilot.press("s")
            assert _names(app) == ["general@web1", "trading@web1", "trading@web2"]
            await pilot.press("r")
            assert _names(app) == ["trading@web2", "trading@web1", "general@web1"]
            head = next(i for i, line in enumerate(lines(app)) if line.startswith("worker"))
            await pilot.click(offset=(lines(app)[head].index("busy"), head))
            assert _names(app)[0] == "general@web1"
            assert "by busy" in text(app)

    played(play)


def test_it_filters_as_one_types() -> None:
    """Each word must be in the row; Esc ends it."""

    async def play() -> None:
        async with shown(Still(TROUBLE)) as (app, pilot):
            await pilot.press("slash", *"trad web2")
            await until(lambda: _names(app) == ["trading@web2"])
            assert "1 workers (1/3, /trad web2)" in text(app)
            await pilot.press("enter")
            assert _names(app) == ["trading@web2"]
            await pilot.press("escape")
            await until(lambda: len(_names(app)) == 3)

    played(play)


def test_a_filter_has_a_slash() -> None:
    """Which would begin a filter, where none is typed."""

    async def play() -> None:
        async with shown(Still(TROUBLE)) as (app, pilot):
            await pilot.press("slash", *"a/b")
            await until(lambda: app._filter.value == "a/b")

    played(play)


@pytest.mark.parametrize("pieces", [["x" * 1000], ["x"] * 1000], ids=["pasted", "typed"])
def test_a_filter_has_a_bound_that_is_said(pieces: list[str]) -> None:
    """What is pasted by mistake may have thousands of letters, each of which would have the screen drawn."""

    async def play() -> None:
        async with shown(Still(TROUBLE)) as (app, pilot):
            await pilot.press("slash")
            for piece in pieces:
                app.post_message(Key(piece, piece) if len(piece) == 1 else Paste(piece))
            said = "The filter takes 200 letters at most: the rest is left out."
            await until(lambda: said in text(app), 5)
            assert app._filter.value == "x" * 200
            await pilot.press("backspace")
            await until(lambda: said not in text(app), 5)
            assert app._filter.value == "x" * 199

    played(play)


def test_a_filter_stays_with_its_pane() -> None:
    """Tab goes on to a pane that is not filtered, and the box closes, as does a second one for that pane."""

    async def play() -> None:
        async with shown(Still(TROUBLE)) as (app, pilot):
            await pilot.press("slash", *"web2", "tab")
            assert "1 workers (1/3, /web2)  2 tasks (2)" in text(app)
            assert not app._filter.display
            await pilot.press("j", "slash", *"year", "shift+tab")
            assert "1 workers (1/3, /web2)  2 tasks (1/2, /year)" in text(app)
            await pilot.press("slash")
            assert app._filter.value == "web2"

    played(play)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("2 s", "2 tasks (2, by task)"),
        ("4 j 1 4 enter", "CeleryWorkerStuck  critical"),
        ("tab slash y e a r", "2 tasks (1/2, /year)"),
        ("slash w e b 2 tab s", "1 workers (1/3, /web2)  2 tasks (2, by task)"),
        ("slash w e b 2 enter s", "1 workers (1/3, by worker, /web2)"),
        ("question_mark escape 3 j enter escape s", "3 queues (2, by queue)"),
        ("slash w e b escape s", "1 workers (3, by worker)"),
        ("slash w e b alt+s", "1 workers (3, by worker)"),
        ("slash w e b 2 escape slash w e b 1", "1 workers (2/3, /web1)"),
        ("slash w e b 2 backspace 1 enter s", "1 workers (2/3, by worker, /web1)"),
        ("3 enter alt+shift+g s", "3 queues (2, by queue)"),
    ],
)
def test_keys_that_come_at_once_are_done_in_their_order(keys: str, said: str) -> None:
    """Over a slow line several are in one packet: each finds what the one before has done.

    Esc and a letter are written there as the letter with Alt is, unless the terminal tells keys by Kitty's protocol.
    """

    async def play() -> None:
        async with shown(Still(TROUBLE)) as (app, _):
            for key in keys.split():
                app.post_message(Key(key, LETTERS.get(key, key if len(key) == 1 else None)))
            await until(lambda: said in text(app), 5)

    played(play)


def test_what_comes_once_the_screen_is_gone_changes_nothing() -> None:
    """A key, the mouse, or a focus that moves, on the way as the view ends."""

    async def play() -> None:
        async with shown(Still(TROUBLE)) as (app, _):
            grid = app.query_one("#tasks", Grid)
        assert not app.screen_stack
        click = MouseDown(grid, 1, 1, 0, 0, 1, shift=False, meta=False, ctrl=False)
        for late in (Key("enter", None), Key("2", "2"), click, DescendantFocus(grid)):
            await app.on_event(late)
        app.on_grid_opened(Grid.Opened("tasks", grid.row))
        assert not app.screen_stack

    played(play)


def test_a_click_moves_and_a_second_one_opens() -> None:
    """The mouse does what the keys do."""

    async def play() -> None:
        async with shown(Still(TROUBLE)) as (app, pilot):
            at = next(i for i, line in enumerate(lines(app)) if line.startswith("general@web1"))
            await pilot.click(offset=(3, at))
            assert "general@web1: stuck: its event loop" in text(app)
            await pilot.click(offset=(3, at))
            await until(lambda: "oldest running task: reports.yearly, for 12 min" in text(app))

    played(play)


def test_pause_holds_what_is_shown_and_asks_on() -> None:
    """So that rates go on when it is let go."""

    async def play() -> None:
        still = Still(TROUBLE)
        async with shown(still) as (app, pilot):
            await pilot.press("p")
            assert "PAUSED" in text(app)
            before = still.looks
            still.view = type(TROUBLE)(at=TROUBLE.at, watched=100)
            await until(lambda: still.looks > before + 1)
            assert len(_names(app)) == 3
            await pilot.press("p")
            await until(lambda: "no worker has answered yet" in text(app))

    played(play)


def test_the_interval_is_changed() -> None:
    """And said."""

    async def play() -> None:
        async with shown(Still(TROUBLE)) as (app, pilot):
            await pilot.press("plus")
            assert app.interval == 1.0
            assert "every 1 s" in text(app)
            await pilot.press("minus")
            assert app.interval == 0.5

    played(play)


@pytest.mark.parametrize(
    "keys",
    ["q", "ctrl+c", "enter ctrl+c", "question_mark ctrl+c", "slash w e b shift+home ctrl+c"],
    ids=["q", "ctrl-c", "open-row", "help", "selected-filter"],
)
def test_it_ends(keys: str) -> None:
    """By q, and by what everybody tries first, whatever is open."""

    async def play() -> None:
        async with shown(Still(TROUBLE)) as (app, pilot):
            await pilot.press(*keys.split())
            await until(lambda: not app.is_running, 5)

    played(play)


def test_what_leaving_says_is_seen_from_an_open_row() -> None:
    """The demo goes on for seconds, and says so above the panes."""

    async def play() -> None:
        said: list[str] = []
        app = Top(Still(TROUBLE), 0.2, caption=lambda: "".join(said), leave=lambda: said.append("Stopping."))  # type: ignore[arg-type]
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: app.view is not None)
            await pilot.press("enter", "ctrl+c")
            await until(lambda: text(app).startswith(" Stopping.  1 of 3 workers up"), 5)
            await pilot.press("ctrl+c")
            assert said == ["Stopping.", "Stopping."]

    played(play)


def test_what_is_to_be_done_next_stays_on_the_screen() -> None:
    """What the demo printed before is behind the view."""

    async def play() -> None:
        app = Top(Still(TROUBLE), 0.2, notice=lambda: "Next: make monitoring")  # type: ignore[arg-type]
        async with app.run_test(size=(80, 24)):
            await until(lambda: app.view is not None)
            await until(lambda: lines(app)[1] == " Next: make monitoring")

    played(play)


def test_hostile_names_are_shown_as_letters() -> None:
    """Markup is no style, and an escape sequence moves no cursor."""

    async def play() -> None:
        with serving(page("[red]@\x1b[2J[/]")) as port:
            async with shown(fleet(port.address)) as (app, _):
                await until(lambda: "[red]@\\x1b[2J[/]" in text(app))

    played(play)


def _names(app: object, pane: str = "workers") -> list[str]:
    return [row.name for row in app._panes.grids[pane].rows]  # type: ignore[attr-defined]
