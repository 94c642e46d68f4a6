"""CONTRIBUTING and the workflow name what is there: rooms, targets, Pythons."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text()


def section(title: str) -> str:
    """Give one section of the page."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", CONTRIBUTING, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def first_cells(text: str) -> list[str]:
    """List what stands between backquotes in the first column of a table, without its head."""
    rows = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)[2:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_map_names_each_room() -> None:
    """A directory of the package that the map leaves out is noticed here."""
    rooms = {path.name for path in (ROOT / "otel_celery").iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= {name.rstrip("/") for name in first_cells(section("The map"))}


@pytest.mark.parametrize("name", first_cells(section("The map")))
def test_what_the_map_names_is_there(name: str) -> None:
    """Each name is a directory or a module of the package."""
    path = ROOT / "otel_celery" / name
    assert path.is_dir() if name.endswith("/") else path.with_suffix(".py").is_file()


@pytest.mark.parametrize("name", first_cells(section("Add a metric")))
def test_the_places_of_a_metric_are_there(name: str) -> None:
    """Each place that a new metric touches exists."""
    assert (ROOT / name).exists()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_each_target_is_one_of_make(page: str) -> None:
    """What a page has one type after `make` is a target."""
    asked = set(re.findall(r"(?:`|\$ )make ([a-z]+)", (ROOT / page).read_text("utf-8")))
    assert asked
    assert asked <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def test_each_session_is_one_of_nox() -> None:
    """What the page has one run of nox is in the noxfile; the cell that it names is on the lowest Python."""
    noxfile = (ROOT / "noxfile.py").read_text()
    sessions = {
        *re.findall(r"^def (\w+)\(session", noxfile, re.MULTILINE),
        *re.findall(r'nox.session\(name="(\w+)"', noxfile),
    }
    asked = re.findall(r'nox (?:-s|--session) "?(\w+)(\([^)]*\))?', CONTRIBUTING)
    assert {name for name, _ in asked} <= sessions
    (lowest,) = re.findall(r'\("([\d.]+)", LOWEST\)', noxfile)
    assert {cell for _, cell in asked if cell} == {f"({lowest}-celery-lowest)"}


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent", "eventlet"])
def test_each_pool_has_the_mark_that_chooses_its_tests(pool: str) -> None:
    """The page names each pool's mark, and pytest knows it."""
    assert f"`{pool}`" in section("Tests") or f"-m {pool}`" in section("Tests")
    assert f'"{pool}: ' in (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    """Read the workflow's one job."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    (found,) = workflow["jobs"].values()
    return dict(found)


def test_the_workflow_runs_what_ci_runs(job: dict[str, Any]) -> None:
    """Its last step is .ci/run itself, on the system that .ci/services is made for, and nothing may be skipped."""
    assert job["steps"][-1]["run"] == ".ci/run"
    assert job["container"] == "debian:12"
    assert job["env"]["CI"] == "true"


def test_the_workflow_has_each_python_and_go(job: dict[str, Any]) -> None:
    """The Pythons of the matrix are installed, and the rest has Debian's own; Go is as new as .ci/services asks for."""
    text = "\n".join(step.get("run", "") for step in job["steps"])
    installed = set(re.search(r"uv python install (.*)", text)[1].split())  # type: ignore[index]
    pythons = re.findall(r'^    \("([\d.]+)", ', (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    assert set(pythons) == installed
    assert f'NEWEST = "{job["env"]["PYTHON"].removeprefix("python")}"' in (ROOT / "noxfile.py").read_text()
    (go,) = (step["with"]["go-version"] for step in job["steps"] if "go-version" in step.get("with", {}))
    assert f"go) # {go} or newer" in (ROOT / ".ci" / "services").read_text()
