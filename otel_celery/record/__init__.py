"""OpenTelemetry's side: the books of a worker, as instruments that readers collect; this room never imports Celery."""
