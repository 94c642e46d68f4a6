"""The app with its one line, and something that is said before Celery's logging is set up."""

from __future__ import annotations

import logging

from otel_celery.saying import say
from tests.integration.worker import proj_line

app = proj_line.app

say(logging.WARNING, "this is said early")
