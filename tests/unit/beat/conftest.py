"""A Django with django-celery-beat's tables, once a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Set Django up, in Berlin's time, and make the tables; give the module of the scheduler."""
    pytest.importorskip("django_celery_beat")
    import django
    from django.conf import settings
    from django.core.management import call_command

    path: Path = tmp_path_factory.mktemp("django") / "beat.sqlite"
    settings.configure(
        INSTALLED_APPS=["django_celery_beat"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": path}},
        USE_TZ=True,
        TIME_ZONE="Europe/Berlin",
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from django_celery_beat import schedulers

    return schedulers
