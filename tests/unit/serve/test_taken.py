"""A port that cannot be opened: the sentence says whose it is and what to do."""

from __future__ import annotations

import errno
import os

import pytest

from otel_celery.serve.taken import sentence
from otel_celery.settings.settings import Port

FREE = "set PROMETHEUS_PORT to a free port"


@pytest.mark.parametrize(
    ("number", "neighbour", "why", "advice"),
    [
        (errno.EADDRINUSE, None, "Address already in use", FREE),
        (errno.EACCES, None, "Permission denied", FREE),
        (
            errno.EADDRINUSE,
            "worker first@h",
            "worker first@h of this very process has it",
            "set PROMETHEUS_PORT to another port before worker w@h is made, or stop worker first@h",
        ),
        (
            errno.EADDRNOTAVAIL,
            None,
            "Cannot assign requested address",
            "OTEL_EXPORTER_PROMETHEUS_HOST='10.9.8.7' must be an address of this machine",
        ),
    ],
)
def test_the_sentence(number: int, neighbour: str | None, why: str, advice: str) -> None:
    """Each cause has an advice of its own."""
    error = OSError(number, os.strerror(number))
    said = sentence(error, Port(number=9101, host="10.9.8.7"), "worker w@h", neighbour)
    assert said == f"port 9101 cannot be opened for worker w@h (pid {os.getpid()}): {why}; {advice}"
