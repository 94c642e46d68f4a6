"""Read with ``-I`` into a worker: has the application set its logging up itself, as T_LOGGING says."""

from __future__ import annotations

import logging.config
import os
from pathlib import Path
from typing import Any

from celery import signals

KIND = os.environ["T_LOGGING"]


def _set_up(**_: Any) -> None:
    if KIND == "none":
        return
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": KIND == "own-disabling",
            "handlers": {
                "file": {
                    "class": "logging.FileHandler",
                    "filename": str(Path(os.environ["T_RECORD"]).parent / "own.log"),
                }
            },
            "root": {"handlers": ["file"], "level": "INFO"},
        }
    )


if KIND != "critical":
    signals.setup_logging.connect(_set_up, weak=False)
