"""Hold back an exporter's own log lines during our exports, since it logs each failure several times.

The warnings are kept, because only they name the reason of a failure. Lines of the same loggers from other threads,
such as those of an application's own exporters, are let through.
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
"""Characters of a reason at most: some errors quote half a page, or the request with its secrets."""

_RETRY = re.compile(r", retrying in [\d.]+s")


class Hush(logging.Filter):
    """A log filter and context manager that holds back an exporter's lines in the thread that enters it."""

    def __init__(self, exporter: object, on_warning: Callable[[], None] = lambda: None) -> None:
        """Filter the loggers of the modules that define this exporter's class and its base classes.

        ``on_warning`` is called after each warning or error, while the exporter may still retry.
        """
        super().__init__()
        modules = dict.fromkeys(cls.__module__ for cls in type(exporter).__mro__ if cls is not object)
        self._loggers = [logging.getLogger(module) for module in modules]
        self._on_warning = on_warning
        self._is_inside = ContextVar("otel_celery_hush", default=False)  # for each thread or greenlet
        self.heard: deque[str] = deque(maxlen=10)
        """The warnings since this was last cleared, ten at most."""

    def __enter__(self) -> None:
        """Hold back the lines of the current thread."""
        self._is_inside.set(True)
        for logger in self._loggers:
            logger.addFilter(self)

    def __exit__(self, *_: object) -> None:
        """Let everything through again."""
        self._is_inside.set(False)
        for logger in self._loggers:
            logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the lines of a thread that has entered this, and keep its warnings."""
        if not self._is_inside.get():
            return True
        if record.levelno >= logging.WARNING:
            self.heard.append(record.getMessage())
            self._on_warning()
        return False

    def reason(self) -> str:
        """Return the reason of a failed export: its first warning, since the others repeat it."""
        heard = _RETRY.sub("", self.heard[0]) if self.heard else "the exporter does not say why"
        return plain(heard, MAX_REASON).rstrip(". ")
