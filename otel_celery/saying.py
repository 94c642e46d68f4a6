"""What an operator is told: in the log where the log takes it, else on stderr, and never on both.

A worker without a terminal (``--detach``, ``celery multi``, systemd's ``Type=forking``) has /dev/null for its stderr,
so a sentence has to be in the log file; in the foreground Celery's log is on stderr already, and whoever reads it there
need not read it twice. So nothing is written while a worker is initialised, and its logging not set up: what is to be
said is kept until it is, which is the next thing that a worker does. A log may still be deaf to us: an application's
``dictConfig`` disables every logger that it does not name, unless told not to, and ``-l CRITICAL`` asks for no errors.
Then stderr is all that is left.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_logger = logging.getLogger("otel_celery")


def say(level: int, sentence: str) -> None:
    """Tell the operator; never raises for the want of a stderr."""
    if _logger.isEnabledFor(level) and any(_takes(handler, level) for handler in _handlers()):
        _logger.log(level, "otel-celery: %s", sentence)
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none at all
        sys.stderr.write(f"otel-celery: {logging.getLevelName(level)}: {sentence}\n")


def _handlers() -> Iterator[logging.Handler]:
    found: logging.Logger | None = _logger
    while found is not None:
        yield from found.handlers
        found = found.parent if found.propagate else None


def _takes(handler: logging.Handler, level: int) -> bool:
    return level >= handler.level and not isinstance(handler, logging.NullHandler)
