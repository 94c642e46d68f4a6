"""The same app in a Django, with the schedule in its database."""

from __future__ import annotations

import os

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django_celery_beat"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["T_DATABASE"]}},
    USE_TZ=True,
    TIME_ZONE="Europe/Berlin",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

from tests.integration.beat.proj import app  # noqa: E402  Django first

__all__ = ["app"]

if __name__ == "__main__":
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
