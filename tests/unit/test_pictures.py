"""The pictures: each is shown on a page with a caption, is small, and is of panels that the dashboards have."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from devops.monitoring.pictures import panels, terminal
from tests.unit.watch.ports import page, serving

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "devops").rglob("*.md"))]
MONITORING = ROOT / "devops" / "monitoring"

SHOWN = re.compile(r"!\[[^\]]+\]\((?!https?:)([^)]+)\)")
CAPTIONED = re.compile(SHOWN.pattern + r"\n\n\*(.+)\*$", re.MULTILINE)
DEMO, TROUBLE, DOCTOR = "demo.svg", "top.svg", "doctor.svg"
PAGE = "page.png"
OTHERS = {DEMO, TROUBLE, DOCTOR, PAGE}
"""What is no panel of Grafana's."""

DOCUMENTED = [
    "Worker Status",
    "Active Tasks",
    "Task Success Rate",
    "Task Failure Rate",
    "Task Duration (p95)",
    "Tasks Received",
    "Task Retries",
    "Total Tasks by Status",
]
FIRST_LOOK = ["Firing Alerts", "Queue Length", "Oldest Message", "Utilisation", "Failure Ratio", "Wait (p95)"]
FILES = {"grafana_dashboards.json", "celery_task.json", "celery_worker.json"}

EACH = 150_000
ALL = 1_500_000
"""Bytes: a page with pictures opens at once, and a clone stays small."""


def shown(page: Path) -> set[Path]:
    """Find the files of the pictures that a page shows."""
    return {(page.parent / path).resolve() for path in SHOWN.findall(page.read_text("utf-8"))}


def titles(name: str) -> list[str]:
    """List the panels of a picture."""
    dashboard = json.loads((MONITORING / panels.PICTURES[name][0]).read_text("utf-8"))
    return [panel["title"] for panel in panels.drawn(name, dashboard)]


def test_the_first_screen_is_drawn() -> None:
    """Of the dashboard as it is generated, in its order."""
    assert titles("documented") == DOCUMENTED
    assert titles("first-look") == FIRST_LOOK


def test_each_dashboard_is_drawn_and_each_picture_has_panels() -> None:
    """A row that was renamed leaves no empty picture behind."""
    assert {file for file, _, _ in panels.PICTURES.values()} == FILES
    assert all(titles(name) for name in panels.PICTURES)


def test_each_drawn_row_has_its_picture() -> None:
    """And there is no other picture, but the live view's, and a page of the demo's."""
    assert {path.name for path in IMAGES.iterdir()} == {*map(panels.file_name, panels.PICTURES), *OTHERS}


def test_each_picture_is_shown_and_there() -> None:
    """What a page shows exists, and what docs/images has is shown on a page."""
    assert set().union(*map(shown, PAGES)) == set(IMAGES.iterdir())


@pytest.mark.parametrize("page", [page for page in PAGES if shown(page)], ids=lambda page: page.stem)
def test_each_picture_has_a_caption(page: Path) -> None:
    """A panel's says how it was drawn, so that nobody takes it for a screenshot of a Grafana server."""
    captions = dict(CAPTIONED.findall(page.read_text("utf-8")))
    assert list(captions) == SHOWN.findall(page.read_text("utf-8"))
    for path, caption in captions.items():
        if Path(path).name not in OTHERS:
            assert "Grafana's own panel components on data of the demo, without a Grafana server" in caption


def test_the_pictures_are_small() -> None:
    """Each, and all together."""
    sizes = [path.stat().st_size for path in IMAGES.iterdir()]
    assert max(sizes) < EACH
    assert sum(sizes) < ALL


def test_the_demos_picture_asks_nobody_for_a_font() -> None:
    """Nor does it tell of the machine that it was made on."""
    for picture in ((IMAGES / name).read_text("utf-8") for name in (DEMO, TROUBLE)):
        assert "trading@localhost" in picture
        assert not re.search(r"@font-face|@import|\burl\(http|/tmp|/home", picture)


def test_the_doctors_picture_shows_what_it_says() -> None:
    """Its sentences as they are, and no font of others."""
    said = "CRITICAL: no worker consumes [it].\n  Start one.\n1 thing to do: 5 of 5 endpoints answered."
    drawn = terminal.sentences(said)
    assert drawn.startswith("<svg")
    words = drawn.replace("&#160;", " ")
    assert all(line.strip() in words for line in said.splitlines())
    for picture in (drawn, (IMAGES / DOCTOR).read_text("utf-8")):
        assert not re.search(r"@font-face|@import|\burl\(http|/tmp|/home", picture)


def test_the_view_is_drawn_before_something_goes_wrong_and_after() -> None:
    """Of real endpoints."""
    with serving(page()) as port:
        well, trouble = terminal.drawn([port.address], lambda: None, watched=0)
    assert all(picture.startswith("<svg") and "@font-face" not in picture for picture in (well, trouble))
