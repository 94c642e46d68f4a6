"""Log records carry the ids of the current span."""

from __future__ import annotations

import logging

from otel_celery.trace import log
from tests.unit.observe.fakes import make_app


def test_records_carry_ids(kept, caplog, monkeypatch) -> None:
    """Those of the span, or zeros; twice is once."""
    monkeypatch.setattr(logging, "_logRecordFactory", logging.getLogRecordFactory())
    log.add_ids()
    once = logging.getLogRecordFactory()
    log.add_ids()
    assert logging.getLogRecordFactory() is once
    with kept.tracer.start_as_current_span("x") as span:
        logging.getLogger("x").warning("inside")
    logging.getLogger("x").warning("outside")
    inside, outside = caplog.records
    assert int(inside.trace_id, 16) == span.get_span_context().trace_id
    assert (outside.trace_id, outside.span_id) == ("0" * 32, "0" * 16)


def test_the_task_log_names_them_unless_it_does_already() -> None:
    """Just before the message."""
    app = make_app()
    log.add_to_format(app)
    chosen = app.conf.worker_task_log_format
    assert chosen.endswith("[%(task_id)s]: trace_id=%(trace_id)s span_id=%(span_id)s %(message)s")
    log.add_to_format(app)
    assert app.conf.worker_task_log_format == chosen == app.log.task_format
