"""Keeps an exporter's own log lines out of the log, while it exports for us: it says each failure several times.

What it said is kept, since it alone knows the reason. Lines of the same loggers from other threads, such as those of
an application's own exporters, are let through.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING

from otel_celery.masking import plain

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REASON = 300
"""Characters; some errors quote half of a page, and some the request with its secrets."""

_RETRY = re.compile(r", retrying in [\d.]+s")


class Hush(logging.Filter):
    """Holds back what an exporter logs in the thread that enters this."""

    def __init__(self, exporter: object, on_warning: Callable[[], None] = lambda: None) -> None:
        """Listen to the loggers of the modules that this exporter's class is made of.

        ``on_warning`` is called after each line of that level or above, while the exporter may still try again.
        """
        super().__init__()
        modules = dict.fromkeys(cls.__module__ for cls in type(exporter).__mro__ if cls is not object)
        self._loggers = [logging.getLogger(module) for module in modules]
        self._on_warning = on_warning
        self._is_inside = ContextVar("otel_celery_hush", default=False)  # a thread's, or a greenlet's, own
        self.heard: deque[str] = deque(maxlen=10)
        """What was said since this was last cleared."""

    def __enter__(self) -> None:
        """Begin, for the thread that calls."""
        self._is_inside.set(True)
        for logger in self._loggers:
            logger.addFilter(self)

    def __exit__(self, *_: object) -> None:
        """Let everything through again."""
        self._is_inside.set(False)
        for logger in self._loggers:
            logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep our own thread's lines to ourselves."""
        if not self._is_inside.get():
            return True
        if record.levelno >= logging.WARNING:
            self.heard.append(record.getMessage())
            self._on_warning()
        return False

    def reason(self) -> str:
        """Say why the export failed: what was heard first is the cause, what follows are its repetitions."""
        heard = _RETRY.sub("", self.heard[0]) if self.heard else "the exporter does not say why"
        return plain(heard, MAX_REASON).rstrip(". ")
