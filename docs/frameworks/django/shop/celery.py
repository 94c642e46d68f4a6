"""The Celery app: Django's documented lines, and one of ours."""

import os

from celery import Celery

from otel_celery import instrument

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
instrument(app)
