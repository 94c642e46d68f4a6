"""Put trace_id and span_id on every log record, and into the format of Celery's task log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE = "%(message)s"
IDS = "trace_id=%(trace_id)s span_id=%(span_id)s "


def add_ids() -> None:
    """Give each new log record the ids of the current span, or zeros if there is none."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, _Factory):
        logging.setLogRecordFactory(_Factory(make))


def add_to_format(app: Any) -> None:
    """Put the ids into the task log's format, unless it has them already."""
    chosen = app.conf.worker_task_log_format
    if "%(trace_id)" not in chosen and MESSAGE in chosen:
        before, _, after = chosen.rpartition(MESSAGE)
        app.conf.worker_task_log_format = app.log.task_format = f"{before}{IDS}{MESSAGE}{after}"


class _Factory:
    """A log record factory that wraps the previous one."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        span = trace.get_current_span().get_span_context()
        record.trace_id = trace.format_trace_id(span.trace_id)
        record.span_id = trace.format_span_id(span.span_id)
        return record
