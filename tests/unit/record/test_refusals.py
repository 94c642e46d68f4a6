"""What is left out is counted once for each series, and said once for each metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.lifecycle import Loss
from otel_celery.record import refusals as module
from otel_celery.record.refusals import Refusals

if TYPE_CHECKING:
    import pytest


def test_more_than_can_be_remembered_is_said(caplog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: what is not counted after it, and why."""
    monkeypatch.setattr(module, "MAX_REMEMBERED", 3)
    lost: list[Loss] = []
    refused = Refusals(lambda reason, number: lost.extend([reason] * number))
    for series in "aabcdef":
        refused(Loss.VALUE, "m", "c", series)
    assert lost == [Loss.VALUE] * 3
    assert len(caplog.messages) == 2
    assert "3 metrics or series are left out or changed already" in caplog.messages[1]
