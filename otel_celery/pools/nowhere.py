"""Find apps that name no broker, where the environment names none either and nothing answers at Celery's default.

Their workers would try to connect for ever. An app is asked in a process of its own: its modules may do anything.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from otel_celery.masking import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_celery.pools.plan import Pool

VARIABLE = "CELERY_BROKER_URL"
DEFAULT = ("localhost", 5672)
NAMES_NONE = 3
PATIENCE = 30.0
"""Seconds that an app has to be loaded; its worker tells what is wrong with one that takes longer."""

ASK = f"""
import sys
from celery.app.utils import find_app
sys.path.insert(0, "")
conf = find_app(sys.argv[1]).conf
sys.exit(0 if conf.broker_url or conf.broker_read_url or conf.broker_transport else {NAMES_NONE})
"""


def sentence(pools: Iterable[Pool], environ: Mapping[str, str]) -> str | None:
    """Name the variable that is missing, and an app that needs it; None where every app has a broker, or may have."""
    if environ.get(VARIABLE) or _listens(DEFAULT):
        return None
    app = next((app for app in dict.fromkeys(pool.app for pool in pools) if _names_none(app, environ)), None)
    if app is None:
        return None
    host, port = DEFAULT
    return (
        f"{VARIABLE} is not set, the app {quoted(app)} names no broker itself, and nothing answers at Celery's "
        f"default, amqp://{host}:{port}"
    )


def _names_none(app: str, environ: Mapping[str, str]) -> bool:
    """Tell whether an app says that it has no broker; one that cannot be loaded is told of by its worker."""
    try:
        done = subprocess.run(  # noqa: S603  the command is ours
            (sys.executable, "-c", ASK, app),
            env=environ,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False
    return done.returncode == NAMES_NONE


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
