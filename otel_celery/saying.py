"""Tell the operator something: in the log if the log takes it, else on stderr, and never on both.

A worker without a terminal (``--detach``, ``celery multi``, systemd's ``Type=forking``) has /dev/null as its stderr, so
its operator only sees the log file. In the foreground Celery's log is on stderr already, and a second line would repeat
the first. So callers keep their sentences until the worker's logging is set up, right after its initialisation.

The log may still refuse a sentence: an application's ``dictConfig`` disables every logger that it does not name, unless
told not to, and ``-l CRITICAL`` leaves out errors. Then the sentence goes to stderr.
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
    """Log a sentence for the operator, or write it to stderr; never raise if stderr is closed or missing."""
    if _logger.isEnabledFor(level) and any(_takes(handler, level) for handler in _handlers()):
        _logger.log(level, "otel-celery: %s", sentence)
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it is closed or missing
        sys.stderr.write(f"otel-celery: {logging.getLevelName(level)}: {sentence}\n")


def _handlers() -> Iterator[logging.Handler]:
    found: logging.Logger | None = _logger
    while found is not None:
        yield from found.handlers
        found = found.parent if found.propagate else None


def _takes(handler: logging.Handler, level: int) -> bool:
    return level >= handler.level and not isinstance(handler, logging.NullHandler)
