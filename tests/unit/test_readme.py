"""README and the page of settings say what is so: their tables follow the code."""

from __future__ import annotations

import re
from pathlib import Path

from otel_celery import settings
from otel_celery.record import reference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()


def test_the_table_of_metrics_is_the_catalogue() -> None:
    """The table of metrics is what `otel-celery metrics --format markdown` prints: `make reference` writes it."""
    table = re.search(r"<!-- metrics: .*? -->\n\n(.*?)\n\n<!-- /metrics -->", README, re.DOTALL)
    assert table is not None
    assert table[1] == reference.markdown()


def test_the_table_of_settings_names_each_of_ours() -> None:
    """Each variable that is read as ours stands in the table of settings."""
    named = set(re.findall(r"OTEL_PYTHON_CELERY_[A-Z_]+", SETTINGS))
    named |= {f"OTEL_PYTHON_CELERY_{name}" for name in re.findall(r"`\u2026_([A-Z_]+)`", SETTINGS)}
    assert set(settings._OURS) <= named
