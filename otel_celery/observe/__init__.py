"""Celery's side: observe requests, consumer and pool, and report to an observer. Never imports OpenTelemetry."""
