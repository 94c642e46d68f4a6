"""Say a sentence to the operator once: in the log if the log takes it, else on stderr, and never on both.

A worker without a terminal (``--detach``, ``celery multi``, systemd's ``Type=forking``) has /dev/null as its stderr, so
its operator only sees the log file. In the foreground Celery's log is on stderr already, and a second line would repeat
the first. So whatever is said before Celery has set its logging up is kept (:func:`hold`) until it has
(:func:`release`).

The log may still refuse a sentence: an application's ``dictConfig`` disables every logger that it does not name, unless
told not to, and ``-l CRITICAL`` leaves out errors. Then the sentence goes to stderr.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_logger = logging.getLogger("otel_celery")


class _Kept(logging.Filter):
    """Keeps the records of our logger from every handler until Celery's logging is set up, which happens once."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.is_holding = False
        self.is_over = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, and let no handler have it yet."""
        self.records.append(record)
        return False


_kept = _Kept()


def hold() -> None:
    """Keep what is said from now on; only for a process whose logging Celery is about to set up, and only once."""
    if _kept.is_over or _kept.is_holding:
        return
    _kept.is_holding = True
    _logger.addFilter(_kept)
    atexit.register(release)  # Celery may end before it has set its logging up


def is_holding() -> bool:
    """Tell whether what is said is kept."""
    return _kept.is_holding


def release() -> None:
    """Say what was kept; nothing is kept any more."""
    if not _kept.is_holding:
        return
    _kept.is_holding, _kept.is_over = False, True
    _logger.removeFilter(_kept)
    atexit.unregister(release)
    for record in _kept.records:
        _tell(record)
    _kept.records.clear()


def say(level: int, sentence: str) -> None:
    """Log a sentence for the operator, or write it to stderr; never raise if stderr is closed or missing."""
    record = _logger.makeRecord(_logger.name, level, __file__, 0, "otel-celery: %s", (sentence,), None, "say")
    if _kept.is_holding:
        _kept.records.append(record)
    else:
        _tell(record)


def _tell(record: logging.LogRecord) -> None:
    if _logger.isEnabledFor(record.levelno) and any(_takes(handler, record.levelno) for handler in _handlers()):
        _logger.handle(record)
        return
    sentence = logging.Formatter().format(record).removeprefix("otel-celery: ")
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it is closed or missing
        sys.stderr.write(f"otel-celery: {record.levelname}: {sentence}\n")


def _handlers() -> Iterator[logging.Handler]:
    found: logging.Logger | None = _logger
    while found is not None:
        yield from found.handlers
        found = found.parent if found.propagate else None


def _takes(handler: logging.Handler, level: int) -> bool:
    return level >= handler.level and not isinstance(handler, logging.NullHandler)
