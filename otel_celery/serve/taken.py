"""Say in one sentence why a port cannot be opened, and what to do: it is taken, forbidden, or not of this machine."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_celery.settings.settings import Port


def sentence(error: OSError, port: Port, who: str, neighbour: str | None) -> str:
    """Write the sentence for ``who``, such as ``worker w@h``; ``neighbour`` is who has the port in this process."""
    why, advice = error.strerror or str(error), "set PROMETHEUS_PORT to a free port"
    if neighbour is not None:
        why = f"{neighbour} of this very process has it"
        advice = f"set PROMETHEUS_PORT to another port before {who} is made, or stop {neighbour}"
    elif error.errno not in {errno.EADDRINUSE, errno.EACCES}:
        advice = f"OTEL_EXPORTER_PROMETHEUS_HOST={port.host!r} must be an address of this machine"
    return f"port {port.number} cannot be opened for {who} (pid {os.getpid()}): {why}; {advice}"
