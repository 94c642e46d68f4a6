"""A time limit that arrives at each line of our code in turn, as a signal's handler would raise it there."""

from __future__ import annotations

import linecache
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from billiard.exceptions import SoftTimeLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Interrupter:
    """Raises at the nth line that the main thread executes in these files, from a handler of SIGUSR1.

    With ``calls`` it counts the beginning of each function too, before its first line.
    """

    def __init__(self, files: tuple[str, ...], *, calls: bool = False) -> None:
        """Know the files by the ends of their paths."""
        self._files = files
        self._events = ("line", "call") if calls else ("line",)
        self._left = 0
        self.has_raised = False
        self.line = ""
        """The line that was about to be executed then."""

    @contextmanager
    def at(self, number: int) -> Iterator[None]:
        """Raise at this line, counted from 0, unless fewer are executed."""
        self._left, self.has_raised = number, False
        before = signal.signal(signal.SIGUSR1, soft_time_limit)
        tracing = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(tracing)
            signal.signal(signal.SIGUSR1, before)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line(frame, event, argument) if frame.f_code.co_filename.endswith(self._files) else None

    def _line(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event in self._events and not self.has_raised:
            if self._left == 0:
                self.has_raised = True
                self.line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
                soft_time_limit(signal.SIGUSR1, frame)
            self._left -= 1
        return self._line


def soft_time_limit(_number: int, _frame: object) -> None:
    """Do as billiard's handler does."""
    raise SoftTimeLimitExceeded
