"""Tell from the command line whether this process is a Celery worker or a spawned pool child.

The command line can be read before Celery is imported, and in every child.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_worker(argv: Sequence[str], original: Sequence[str]) -> bool:
    """Tell whether ``sys.argv`` and ``sys.orig_argv`` are ``celery ... worker`` or ``python -m celery ... worker``."""
    program = PurePath(argv[0]).name if argv else ""
    by_module = any(pair == ("-m", "celery") for pair in pairwise(original))
    return "worker" in argv[1:] and (program.split(".")[0] == "celery" or by_module)


def is_spawned_child(original: Sequence[str]) -> bool:
    """Tell by ``sys.orig_argv`` whether billiard has spawned this process for a pool.

    A spawned child inherits nothing from its parent. Billiard starts it with
    ``python -c 'from billiard.spawn import spawn_main; ...'`` (source: ``billiard.spawn``).
    """
    return any("billiard.spawn" in argument for argument in original)
