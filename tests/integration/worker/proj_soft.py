"""The app under test with a soft shutdown: before a cold one, running tasks are waited for, for a second."""

from __future__ import annotations

from tests.integration.worker.proj import app

app.conf.worker_soft_shutdown_timeout = 1.0
