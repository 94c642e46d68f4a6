"""Celery's side: what happens to a worker's tasks, told to an observer; this room never imports OpenTelemetry."""
