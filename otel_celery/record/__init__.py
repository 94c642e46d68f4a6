"""OpenTelemetry's side: count tasks, and export the counts through instruments and readers. Never imports Celery."""
