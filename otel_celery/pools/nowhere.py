"""Find apps without a broker: neither they nor the environment name one, and nothing answers at Celery's default.

Their workers would try to connect for ever. An app is asked in a process of its own: its modules may do anything.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from otel_celery.masking import quoted
from otel_celery.settings import brokers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_celery.pools.plan import Pool

DEFAULT = ("localhost", 5672)
PATIENCE = 30.0
"""Seconds that an app has to be loaded; its worker tells what is wrong with one that takes longer."""

CONSUMES, PUBLISHES = 16, 32
LACKS = {
    CONSUMES: (brokers.CONSUMED, "no broker to consume from"),
    PUBLISHES: (brokers.PUBLISHED, "no broker to publish to, which its workers need to begin"),
    CONSUMES + PUBLISHES: (None, "no broker itself"),
}
"""What an app lacks, by the exit status of the process that was asked: the variable for that alone, and the words."""

ASK = f"""
import sys
from celery.app.utils import find_app
sys.path.insert(0, "")
conf = find_app(sys.argv[1]).conf
if conf.broker_transport:
    sys.exit(0)
sys.exit((not conf.broker_read_url) * {CONSUMES} + (not conf.broker_write_url) * {PUBLISHES})
"""


def sentence(pools: Iterable[Pool], environ: Mapping[str, str]) -> str | None:
    """Name the variable that is missing, and an app that needs it; None where every app has a broker, or may have."""
    if environ.get(brokers.BOTH) or _listens(DEFAULT):
        return None
    for app in dict.fromkeys(pool.app for pool in pools):
        if (lack := LACKS.get(_status(app, environ))) is not None:
            return _said(app, *lack)
    return None


def _said(app: str, variable: str | None, words: str) -> str:
    unset = f"{brokers.BOTH} is not set" if variable is None else f"neither {brokers.BOTH} nor {variable} is set"
    host, port = DEFAULT
    return (
        f"{unset}, the app {quoted(app)} names {words}, and nothing answers at Celery's default, amqp://{host}:{port}"
    )


def _status(app: str, environ: Mapping[str, str]) -> int:
    """Ask an app what it lacks; 0 is nothing, also for one that cannot be loaded, which its worker tells of."""
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
        return 0
    return done.returncode


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
