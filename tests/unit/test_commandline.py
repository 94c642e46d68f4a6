"""Which process a command line makes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import billiard
import pytest

from otel_celery.commandline import is_spawned_child, is_worker, sets_up_logging

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("argv", "original", "expected"),
    [
        (["celery", "-A", "proj", "worker"], [], True),
        (["/venv/bin/celery", "-A", "proj", "worker", "-P", "gevent"], [], True),
        (["celery.exe", "worker"], [], True),
        (["/lib/celery/__main__.py", "worker"], ["python", "-m", "celery", "worker"], True),
        (["/lib/celery/__main__.py", "worker"], ["python", "-X", "dev", "-m", "celery", "-A", "proj", "worker"], True),
        (["celery", "-A", "proj", "beat"], [], False),
        (["celery"], [], False),
        (["worker"], [], False),
        (["gunicorn", "worker"], [], False),
        (["/app/worker.py", "worker"], ["python", "/app/worker.py", "worker"], False),
        (["/lib/flower/__main__.py", "worker"], ["python", "-m", "flower", "worker"], False),
        (["/lib/celery/__main__.py", "beat"], ["python", "-m", "celery", "beat"], False),
        ([], [], False),
    ],
)
def test_a_workers_command_line(argv: list[str], original: list[str], expected: bool) -> None:  # noqa: FBT001
    """The program is celery, by its name or by -m, and worker is among its words."""
    assert is_worker(argv, original) is expected


@pytest.mark.parametrize(
    ("argv", "original", "expected"),
    [
        (["celery", "-A", "proj", "worker"], ["python", "celery", "-A", "proj", "worker"], True),
        (["/lib/celery/__main__.py", "beat"], ["python", "-m", "celery", "beat"], True),
        (["celery", "worker"], ["python", "-c", "from billiard.spawn import spawn_main"], False),
        (["celery", "-A", "worker", "worker"], [], True),
        (["celery", "--env", "prod", "-A", "proj", "worker"], [], True),
        (["celery", "-A", "worker", "shell"], [], False),
        (["celery", "-Aworker", "call", "-Q", "worker"], [], False),
        (["celery", "worker"], ["python", "-c", "from multiprocessing.spawn import spawn_main; spawn_main()"], False),
        (["celery", "multi", "start", "worker"], [], False),
        (["celery", "multi", "start"], [], False),
        (["celery", "inspect", "ping"], [], False),
        (["gunicorn", "beat"], [], False),
        ([], [], False),
    ],
)
def test_whose_logging_celery_sets_up(argv: list[str], original: list[str], expected: bool) -> None:  # noqa: FBT001
    """That of a worker and a beat, and not that of a child, which has its parent's arguments."""
    assert sets_up_logging(argv, original) is expected


def tell(path: Path) -> None:
    """Write down, in a child, what its command line says."""
    path.write_text(str(is_spawned_child(sys.orig_argv)))


def test_a_child_that_billiard_spawns_knows_it(tmp_path: Path) -> None:
    """And this process, which nobody has spawned for a pool, does not."""
    child = billiard.get_context("spawn").Process(target=tell, args=(tmp_path / "told",))
    child.start()
    child.join(60)
    assert (tmp_path / "told").read_text() == "True"
    assert not is_spawned_child(sys.orig_argv)
