"""What every unit test needs: nothing is left of what another one has read."""

from __future__ import annotations

import pytest

from otel_celery import masking


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what other tests have kept as secrets."""
    monkeypatch.setattr(masking, "_kept", set())
