"""What a close look says that the screens of test_app.py do not show."""

from __future__ import annotations

from dataclasses import replace

from otel_celery.top import closely
from tests.unit.top.scenes import TROUBLE


def test_where_no_port_answers_a_command_prints_the_runbook() -> None:
    """Nobody is led to a file that an installed package has not."""
    (problem, *_) = TROUBLE.problems
    *_, last = (line.plain for line in closely.of_problem(problem, replace(TROUBLE, runbook="")))
    assert last == "More: otel-celery runbook CeleryWorkerDown"
