"""The project. It imports the Celery app, so that ``celery -A shop`` and ``@shared_task`` find it."""

from shop.celery import app as celery_app

__all__ = ["celery_app"]
