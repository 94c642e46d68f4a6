"""Celery's side of publishing: the time of publishing goes onto each message, and each publish is reported."""
