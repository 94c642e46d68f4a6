"""What `otel-celery top` shows of a fleet: a live view, a table once, or JSON."""
