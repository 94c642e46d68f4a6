"""The image of the command: its Dockerfile's steps are taken without Docker, and what comes out starts."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_celery.version import __version__
from tests.integration.stack.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(400)

HERE = ROOT / "devops" / "docker"
PLACES = ("/opt/", "/src")
"""Where the steps write; in a directory of the test's instead."""


def instructions() -> Iterator[tuple[str, str]]:
    """Give each instruction of the Dockerfile, and what follows it, without comments and broken lines."""
    text = re.sub(r"(?m)^#.*\n", "", (HERE / "Dockerfile").read_text()).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        yield name, rest


def of(name: str) -> list[str]:
    """List what follows an instruction."""
    return [rest for found, rest in instructions() if found == name]


def sources() -> set[str]:
    """Name what is copied from the checkout."""
    return {source for rest in of("COPY") if not rest.startswith("--from") for source in rest.split()[:-1]}


def moved(text: str, root: Path) -> str:
    """Put a directory before the image's own paths."""
    return re.sub("|".join(f"(?<![\\w.]){place}" for place in PLACES), lambda match: f"{root}{match[0]}", text)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Take the first stage's steps, with this Python and pip's cache; the second has what they leave, in its place."""
    root = tmp_path_factory.mktemp("image")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_NO", "PYTHON"))}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            *copied, target = rest.split()
            for source in copied:
                copy(ROOT / source, Path(f"{root}{target}"), into=target.endswith("/"))
        elif name == "RUN":
            done = subprocess.run(
                ["sh", "-ec", moved(rest, root).replace("--no-cache-dir ", "")],
                env=environ, capture_output=True, text=True, check=False, timeout=300,
            )  # fmt: skip
            assert done.returncode == 0, f"{rest}\n{done.stdout}{done.stderr}"
    return root


def copy(source: Path, target: Path, *, into: bool) -> None:
    """Copy a file or a directory's contents, as COPY does."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        return
    target.mkdir(parents=True, exist_ok=True)
    assert into
    shutil.copy(source, target)


def test_what_comes_out_is_the_command_and_no_pip(image: Path) -> None:
    """With the environment of the image alone it starts, from where it was installed, with packages that agree."""
    path = next(rest for rest in of("ENV") if rest.startswith("PATH=")).removeprefix("PATH=")
    environ = {"PATH": moved(path, image)}
    (entry,) = (json.loads(rest) for rest in of("ENTRYPOINT"))
    program = shutil.which(entry[0], path=environ["PATH"])
    assert program == f"{image}/opt/otel-celery/bin/otel-celery"
    done = subprocess.run([program, "--version"], env=environ, capture_output=True, text=True, check=True, cwd="/")
    assert __version__ in done.stdout
    check = [f"{image}/opt/build/bin/pip", "--python", f"{image}/opt/otel-celery/bin/python", "check"]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    assert not list(image.glob("opt/otel-celery/lib/*/site-packages/pip"))


def test_it_runs_as_nobody_in_particular() -> None:
    """A number that is not root's, and nothing is done after it; the signal reaches the process itself."""
    assert [int(number) for number in of("USER")[0].split(":")] == [10001, 10001]
    assert all(rest.startswith("[") for name in ("ENTRYPOINT", "CMD") for rest in of(name))
    stages = [name for name, _ in instructions()]
    assert "RUN" not in stages[len(stages) - 1 - stages[::-1].index("FROM") :]


def test_everything_is_pinned() -> None:
    """Python by a version to the last digit, in both stages, and packages by a version and its hashes."""
    images = [rest.split()[0] for rest in of("FROM")]
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", images[0])
    installs = [rest for rest in of("RUN") if " install " in rest and "/src/dist" not in rest]
    assert all("--require-hashes" in rest for rest in installs)
    assert len(installs) == 2


def test_what_is_copied_is_there_and_not_ignored() -> None:
    """The context has what the steps copy, and nothing else of a checkout."""
    lines = (HERE / "Dockerfile.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    for source in sources():
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in kept), source
    assert all(any(fnmatch.fnmatch(source, pattern) for source in sources()) for pattern in kept)
