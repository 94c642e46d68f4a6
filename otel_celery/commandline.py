"""Tell from the command line whether this process is a Celery worker, a beat, or a spawned pool child.

The command line can be read before Celery is imported, and in every child.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WITH_VALUE = {"-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir"}
"""The options of ``celery`` itself that have a value (source: ``celery.bin.celery``)."""

OTHERS = {
    *("amqp", "call", "control", "events", "flower", "graph", "inspect", "list", "logtool", "migrate", "multi"),
    *("purge", "report", "result", "shell", "status", "upgrade"),
}
"""Subcommands of ``celery`` that are neither a worker nor a beat, with flower's."""


def is_worker(argv: Sequence[str], original: Sequence[str]) -> bool:
    """Tell whether ``sys.argv`` and ``sys.orig_argv`` are ``celery ... worker`` or ``python -m celery ... worker``."""
    return "worker" in argv[1:] and _is_celery(argv, original)


def sets_up_logging(argv: Sequence[str], original: Sequence[str]) -> bool:
    """Tell whether Celery will set up the logging of this process: it is a worker or a beat, and no child of a pool."""
    is_child = any("spawn import spawn_main" in argument for argument in original)  # billiard's, or multiprocessing's
    is_service = not {"worker", "beat"}.isdisjoint(argv[1:]) and _first_word(argv) not in OTHERS
    return is_service and _is_celery(argv, original) and not is_child


def is_spawned_child(original: Sequence[str]) -> bool:
    """Tell by ``sys.orig_argv`` whether billiard has spawned this process for a pool.

    A spawned child inherits nothing from its parent. Billiard starts it with
    ``python -c 'from billiard.spawn import spawn_main; ...'`` (source: ``billiard.spawn``).
    """
    return any("billiard.spawn" in argument for argument in original)


def _first_word(argv: Sequence[str]) -> str:
    """Return the first argument that is no option, nor the value of one of Celery's; an application may add options."""
    words = iter(argv[1:])
    for word in words:
        if not word.startswith("-"):
            return word
        if word in WITH_VALUE:
            next(words, None)
    return ""


def _is_celery(argv: Sequence[str], original: Sequence[str]) -> bool:
    program = PurePath(argv[0]).name if argv else ""
    return program.split(".")[0] == "celery" or any(pair == ("-m", "celery") for pair in pairwise(original))
