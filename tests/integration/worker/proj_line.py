"""The app under test with the one line that switches its metrics on."""

from __future__ import annotations

from otel_celery import instrument
from tests.integration.worker.proj import app as app  # noqa: PLC0414  the tests' other apps begin with it

instrument(app)
